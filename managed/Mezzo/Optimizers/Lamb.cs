// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// LAMB (You et al., ICLR 2020), which adapts the learning rate of each parameter to the norms of it and its update, in the
/// form of apex's <c>FusedLAMB</c>. Unlike there the gradients are left as they are.
/// </summary>
/// <remarks>
/// Clipped by norm, gradients are divided by max(1, norm / max), without the 1e-6 of other optimizers. apex takes the largest
/// norm from its defaults alone; here each group has its own.
/// </remarks>
public sealed class Lamb : MomentOptimizer<LambOptions>
{
    /// <summary>Creates an optimizer of one group.</summary>
    /// <param name="parameters">What to optimise.</param>
    /// <param name="options">Its hyperparameters; null for apex's.</param>
    public Lamb(IEnumerable<Parameter> parameters, LambOptions? options = null)
        : this([(parameters, options ?? new LambOptions())])
    {
    }

    /// <summary>Creates an optimizer of a model's parameters, in groups of those with equal hyperparameters.</summary>
    /// <param name="model">Whose parameters to optimise.</param>
    /// <param name="optionsOf">The hyperparameters of the parameter of a name; null leaves it out, so that it stays as it is.</param>
    public Lamb(Module model, Func<string, LambOptions?> optionsOf)
        : this(GroupsOf(model, optionsOf)) => Model = model;

    /// <summary>Creates an optimizer of several groups.</summary>
    /// <param name="groups">Parameters and their hyperparameters.</param>
    public Lamb(IEnumerable<(IEnumerable<Parameter> Parameters, LambOptions Options)> groups)
        : base(groups)
    {
    }

    /// <inheritdoc/>
    private protected override void Step(Parameter[] parameters, LambOptions options, MezzoStepInputs inputs) => Step(
        parameters,
        (values, expAvgs, expAvgSqs, copies, gradients) => Calls.LambStep(values, expAvgs, expAvgSqs, copies, gradients, inputs, options.ToDescriptor()));
}
