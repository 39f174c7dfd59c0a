// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Commands;

/// <summary>The options that say how large the sin/cos study is.</summary>
internal sealed class SinCosSizeOptions
{
    /// <summary>Most points of data.</summary>
    public const int MaxSamples = 100_000_000;

    private const int MaxHidden = 1_000_000;
    private const int MaxLayers = 1000;
    private static readonly SinCosOptions Defaults = new();
    private readonly Option<int?> _samples = Options.Whole("--samples", "Points of data", 1, MaxSamples, Defaults.Samples);
    private readonly Option<int?> _hidden = Options.Whole("--hidden", "Width of the network", 1, MaxHidden, Defaults.Hidden);
    private readonly Option<int?> _layers = Options.Whole("--layers", "Layers of the trunk that both heads share", 1, MaxLayers, Defaults.Layers);

    public void AddTo(Command command)
    {
        command.Add(_samples);
        command.Add(_hidden);
        command.Add(_layers);
    }

    /// <summary>The study with these sizes.</summary>
    public SinCosOptions Read(ParseResult result) => new()
    {
        Samples = result.GetValue(_samples)!.Value,
        Hidden = result.GetValue(_hidden)!.Value,
        Layers = result.GetValue(_layers)!.Value,
    };
}
