// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Changes parameters by their gradients.</summary>
public abstract class Optimizer : IDisposable
{
    private readonly Parameter[] _parameters;
    private double _learningRate;

    /// <summary>Takes the parameters to optimise.</summary>
    /// <exception cref="ArgumentException">There are none, one is given twice, or they live on different devices.</exception>
    private protected Optimizer(IEnumerable<Parameter> parameters, double lr)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        _parameters = [.. parameters];
        LearningRate = lr;
        if (_parameters.Length == 0)
        {
            throw new ArgumentException("Optimizer got an empty parameter list.", nameof(parameters));
        }

        if (_parameters.Distinct().Count() != _parameters.Length)
        {
            throw new ArgumentException("A parameter is given to the optimizer twice.", nameof(parameters));
        }

        if (_parameters.FirstOrDefault(p => p.Device != Device) is { } odd)
        {
            throw new ArgumentException($"The parameter {odd.Description} is on {odd.Device}, expected {Device} as the first one.", nameof(parameters));
        }
    }

    /// <summary>The parameters, in the order given.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>Device of the parameters.</summary>
    public Device Device => _parameters[0].Device;

    /// <summary>Learning rate of the coming steps.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double LearningRate
    {
        get => _learningRate;
        set => _learningRate = Requirements.FiniteAtLeastZero(value, "lr");
    }

    /// <summary>The numbers that a captured step holds as they were, as a value that can be compared.</summary>
    internal abstract object Hyperparameters { get; }

    /// <summary>Applies the gradients. Parameters without one are left alone.</summary>
    public void Step() => Step(default, default);

    /// <summary>Frees the gradients of all parameters.</summary>
    public void ZeroGrad()
    {
        foreach (var parameter in _parameters)
        {
            parameter.ClearGrad();
        }
    }

    /// <summary>Frees the optimizer's state; the parameters are their module's.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the optimizer's state.</summary>
    /// <param name="disposing">Always true: the optimizer itself has nothing to finalise.</param>
    protected abstract void Dispose(bool disposing);

    /// <summary>Applies the gradients, which may still be scaled, unless an Inf or NaN was found in them.</summary>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar that is not 0 when the step must be skipped, or the null tensor.</param>
    internal abstract void Step(MezzoTensor gradScale, MezzoTensor foundInf);
}
