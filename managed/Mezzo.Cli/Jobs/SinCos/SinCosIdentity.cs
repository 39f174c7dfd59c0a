// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The options that a resumed run must have like the one that was saved, or it would be another run.</summary>
internal sealed class SinCosIdentity(SinCosOptions options, string? from) : IResumable
{
    /// <summary>Options by name; those that change nothing but speed and length are left out.</summary>
    private IEnumerable<(string Option, object? Value)> Values =>
    [
        ("--samples", options.Samples),
        ("--hidden", options.Hidden),
        ("--layers", options.Layers),
        ("--optimizer", options.Optimizer.Name),
        ("--lr", options.LearningRate),
        ("--weight-decay", options.WeightDecay),
        ("--max-grad-norm", options.MaxGradNorm),
        ("--schedule", options.Schedule.Name),
        ("--warmup", options.Warmup),
        ("--accumulate", options.Accumulate),
        ("--seed", options.Seed),
        ("--opt-level", options.OptLevel),
        ("--loss-scale", options.LossScale),
        ("--scaler", options.Scaler?.Name),

        // Without a schedule a run can go on for longer than was thought.
        ("--epochs", options.Schedule == ScheduleChoice.All[0] ? "any" : options.Epochs),
    ];

    public void Save(SavedPart part)
    {
        foreach (var (option, value) in Values)
        {
            part.Write(option, Text(value));
        }
    }

    public Action Load(SavedPart part)
    {
        foreach (var (option, value) in Values)
        {
            string saved = part.ReadString(option);
            if (saved != Text(value))
            {
                throw new CommandException($"{option}: got {Text(value)}, expected {saved}, with which the run in {from} was saved");
            }
        }

        return () => { };
    }

    private static string Text(object? value) => Convert.ToString(value, CultureInfo.InvariantCulture) is { Length: > 0 } text ? text : "none";
}
