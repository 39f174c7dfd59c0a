// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Stochastic gradient descent, with momentum or without, in the forms of <c>torch.optim.SGD</c> and apex's <c>FusedSGD</c>. One
/// native call for each group of parameters updates parameters, momentum buffers and 16-bit copies.
/// </summary>
/// <remarks>
/// A group's first step sets its buffers to the gradients, without dampening. A parameter that gets its first gradient later
/// begins with a buffer of zeros, where PyTorch would leave out the dampening once more.
/// </remarks>
public sealed class Sgd : Optimizer<SgdOptions>
{
    private readonly Dictionary<Parameter, Tensor> _buffers = [];

    /// <summary>Creates an optimizer of one group.</summary>
    /// <param name="parameters">What to optimise.</param>
    /// <param name="options">Its hyperparameters; null for those of <c>torch.optim.SGD</c>.</param>
    public Sgd(IEnumerable<Parameter> parameters, SgdOptions? options = null)
        : this([(parameters, options ?? new SgdOptions())])
    {
    }

    /// <summary>Creates an optimizer of a model's parameters, in groups of those with equal hyperparameters.</summary>
    /// <param name="model">Whose parameters to optimise.</param>
    /// <param name="optionsOf">The hyperparameters of the parameter of a name; null leaves it out, so that it stays as it is.</param>
    public Sgd(Module model, Func<string, SgdOptions?> optionsOf)
        : this(GroupsOf(model, optionsOf)) => Model = model;

    /// <summary>Creates an optimizer of several groups.</summary>
    /// <param name="groups">Parameters and their hyperparameters.</param>
    /// <exception cref="ArgumentException">Nesterov's momentum is asked for without momentum, or with dampening.</exception>
    public Sgd(IEnumerable<(IEnumerable<Parameter> Parameters, SgdOptions Options)> groups)
        : base(groups)
    {
        foreach (var group in Groups)
        {
            var options = (SgdOptions)group.Options;
            if (options.Nesterov && (options.Momentum == 0 || options.Dampening != 0))
            {
                Dispose();
                throw new ArgumentException("Nesterov momentum requires a momentum and zero dampening", nameof(groups));
            }

            foreach (var parameter in options.Momentum > 0 ? group.Parameters : [])
            {
                _buffers.Add(parameter, ZerosLike(parameter));
            }
        }
    }

    /// <inheritdoc/>
    private protected override void Step(Parameter[] parameters, SgdOptions options, MezzoStepInputs inputs) => Calls.SgdStep(
        Array.ConvertAll(parameters, parameter => parameter.Handle),
        options.Momentum > 0 ? Array.ConvertAll(parameters, parameter => _buffers[parameter].Handle) : [],
        Array.ConvertAll(parameters, parameter => parameter.CopyHandle),
        Array.ConvertAll(parameters, parameter => parameter.Grad!.Handle),
        inputs,
        options.ToDescriptor());

    /// <inheritdoc/>
    private protected override IEnumerable<ParameterState> States() =>
        _buffers.Select(pair => new ParameterState("momentum_buffer", pair.Key, pair.Value));

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        foreach (var buffer in _buffers.Values)
        {
            buffer.Dispose();
        }
    }
}
