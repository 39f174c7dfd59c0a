// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>An optimizer whose groups have hyperparameters of one kind.</summary>
/// <typeparam name="TOptions">Their kind.</typeparam>
public abstract class Optimizer<TOptions> : Optimizer
    where TOptions : OptimizerOptions
{
    /// <summary>Takes the parameters to optimise.</summary>
    private protected Optimizer(IEnumerable<(IEnumerable<Parameter> Parameters, TOptions Options)> groups)
        : base(groups?.Select(group => (group.Parameters, (OptimizerOptions)group.Options)) ?? throw new ArgumentNullException(nameof(groups)))
    {
    }

    /// <summary>A model's parameters in groups of those with equal hyperparameters, in order of their first appearance.</summary>
    /// <param name="model">The model.</param>
    /// <param name="optionsOf">The hyperparameters of the parameter of a name; null leaves it out.</param>
    private protected static IEnumerable<(IEnumerable<Parameter> Parameters, TOptions Options)> GroupsOf(Module model, Func<string, TOptions?> optionsOf)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optionsOf);
        return from named in model.NamedParameters()
               let options = optionsOf(named.Name)
               where options is not null
               group named.Parameter by options into grouped
               select (grouped.AsEnumerable(), grouped.Key);
    }

    /// <summary>Applies the gradients of a group.</summary>
    /// <param name="parameters">Those of its parameters that have a gradient.</param>
    /// <param name="options">Its hyperparameters.</param>
    /// <param name="inputs">What all optimizers take.</param>
    private protected abstract void Step(Parameter[] parameters, TOptions options, MezzoStepInputs inputs);

    /// <inheritdoc/>
    private protected sealed override void Step(Parameter[] parameters, OptimizerOptions options, MezzoStepInputs inputs) =>
        Step(parameters, (TOptions)options, inputs);
}
