// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs;

/// <summary>An optimizer that can be asked for by name.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Options">Its hyperparameters, as the library of that name has them.</param>
internal sealed record OptimizerChoice(string Name, OptimizerOptions Options)
{
    /// <summary>All that can be asked for; the first is the default.</summary>
    public static IReadOnlyList<OptimizerChoice> All { get; } =
    [
        new("adam", AdamOptions.Adam),
        new("adamw", AdamOptions.AdamW),
        new("fused-adam", AdamOptions.FusedAdam),
        new("legacy-fused-adam", AdamOptions.LegacyFusedAdam),
        new("bert-adam", AdamOptions.BertAdam),
        new("hf-adamw", AdamOptions.HuggingFaceAdamW),
        new("lamb", new LambOptions()),
        new("sgd", new SgdOptions { Momentum = 0.9 }),
    ];

    /// <summary>Makes the optimizer.</summary>
    public Optimizer Create(IEnumerable<Parameter> parameters) => Options switch
    {
        SgdOptions sgd => new Sgd(parameters, sgd),
        LambOptions lamb => new Lamb(parameters, lamb),
        _ => new Adam(parameters, (AdamOptions)Options),
    };
}
