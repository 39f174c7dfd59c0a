// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Adam (Kingma and Ba, 2015) and the optimizers that differ from it in weight decay, bias correction and eps:
/// <see cref="AdamOptions"/> names them. One native call for each group of parameters updates parameters, moments and
/// 16-bit copies.
/// </summary>
/// <remarks>The step count of the bias correction is that of the group, also for a parameter that had no gradient in some step.</remarks>
public sealed class Adam : MomentOptimizer<AdamOptions>
{
    /// <summary>Creates <c>torch.optim.Adam</c> with zero moments.</summary>
    /// <param name="parameters">What to optimise.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="eps">Added to the denominator.</param>
    /// <param name="weightDecay">L2 penalty, added to the gradient.</param>
    /// <exception cref="ArgumentOutOfRangeException">A hyperparameter is out of its range.</exception>
    public Adam(
        IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weightDecay = 0)
        : this(parameters, AdamOptions.Adam with { LearningRate = lr, Beta1 = beta1, Beta2 = beta2, Eps = eps, WeightDecay = weightDecay })
    {
    }

    /// <summary>Creates an optimizer of one group.</summary>
    /// <param name="parameters">What to optimise.</param>
    /// <param name="options">Its hyperparameters.</param>
    public Adam(IEnumerable<Parameter> parameters, AdamOptions options)
        : this([(parameters, options)])
    {
    }

    /// <summary>Creates an optimizer of a model's parameters, in groups of those with equal hyperparameters.</summary>
    /// <param name="model">Whose parameters to optimise.</param>
    /// <param name="optionsOf">The hyperparameters of the parameter of a name; null leaves it out, so that it stays as it is.</param>
    /// <example><code>
    /// var decayed = AdamOptions.AdamW with { LearningRate = 5e-5 };
    /// var adam = new Adam(model, name => name.EndsWith("bias") ? decayed with { WeightDecay = 0 } : decayed);
    /// </code></example>
    public Adam(Module model, Func<string, AdamOptions?> optionsOf)
        : this(GroupsOf(model, optionsOf)) => Model = model;

    /// <summary>Creates an optimizer of several groups.</summary>
    /// <param name="groups">Parameters and their hyperparameters.</param>
    public Adam(IEnumerable<(IEnumerable<Parameter> Parameters, AdamOptions Options)> groups)
        : base(groups)
    {
    }

    /// <inheritdoc/>
    private protected override void Step(Parameter[] parameters, AdamOptions options, MezzoStepInputs inputs) => Step(
        parameters,
        (values, expAvgs, expAvgSqs, copies, gradients) => Calls.AdamStep(values, expAvgs, expAvgSqs, copies, gradients, inputs, options.ToDescriptor()));
}
