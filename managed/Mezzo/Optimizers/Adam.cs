// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Adam (Kingma and Ba, 2015) with L2 weight decay, in the form of <c>torch.optim.Adam</c>. One native
/// call updates all parameters, their moments and their 16-bit copies.
/// </summary>
/// <remarks>The step count of the bias correction is that of the optimizer, also for a parameter that had no gradient in some step.</remarks>
public sealed class Adam : Optimizer
{
    private readonly Slot[] _slots;
    private readonly Tensor _step;

    /// <summary>Creates the optimizer with zero moments.</summary>
    /// <param name="parameters">What to optimise.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="eps">Added to the denominator.</param>
    /// <param name="weightDecay">L2 penalty, added to the gradient.</param>
    /// <exception cref="ArgumentOutOfRangeException">A hyperparameter is out of its range.</exception>
    public Adam(
        IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weightDecay = 0)
        : base(parameters, lr)
    {
        Beta1 = Requirements.FractionBelowOne(beta1, nameof(beta1));
        Beta2 = Requirements.FractionBelowOne(beta2, nameof(beta2));
        Eps = Requirements.FiniteAtLeastZero(eps, nameof(eps));
        WeightDecay = Requirements.FiniteAtLeastZero(weightDecay, nameof(weightDecay));
        _slots = [.. Parameters.Select(parameter => new Slot(parameter, ZerosLike(parameter), ZerosLike(parameter)))];
        _step = Tensor.AllocateOwned([], DType.Int64, Device);
        _step.Fill(0);
    }

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; }

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; }

    /// <summary>Added to the denominator.</summary>
    public double Eps { get; }

    /// <summary>L2 penalty.</summary>
    public double WeightDecay { get; }

    /// <summary>Number of steps applied. Waits for the work that counts them.</summary>
    public long StepCount => _step.ToArray<long>()[0];

    /// <inheritdoc/>
    internal override object Hyperparameters => (LearningRate, Beta1, Beta2, Eps, WeightDecay);

    /// <inheritdoc/>
    internal override void Step(MezzoTensor gradScale, MezzoTensor foundInf)
    {
        var active = Array.FindAll(_slots, slot => slot.Parameter.Grad is not null);
        if (active.Length == 0)
        {
            return;
        }

        Calls.AdamStep(
            Handles(slot => slot.Parameter.Handle),
            Handles(slot => slot.ExpAvg.Handle),
            Handles(slot => slot.ExpAvgSq.Handle),
            Handles(slot => slot.Parameter.CopyHandle),
            _step.Handle,
            Handles(slot => slot.Parameter.Grad!.Handle),
            gradScale,
            foundInf,
            new MezzoAdamDesc { Lr = LearningRate, Beta1 = Beta1, Beta2 = Beta2, Eps = Eps, WeightDecay = WeightDecay });
        Array.ForEach(active, slot => slot.Parameter.MarkStepped());
        GC.KeepAlive(this);

        MezzoTensor[] Handles(Converter<Slot, MezzoTensor> handle) => Array.ConvertAll(active, handle);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _step.Dispose();
        foreach (var slot in _slots)
        {
            slot.ExpAvg.Dispose();
            slot.ExpAvgSq.Dispose();
        }
    }

    private static Tensor ZerosLike(Parameter parameter)
    {
        var zeros = Tensor.AllocateOwned(parameter.Shape, parameter.DType, parameter.Device);
        zeros.Fill(0);
        return zeros;
    }

    /// <summary>A parameter and its two moments.</summary>
    private readonly record struct Slot(Parameter Parameter, Tensor ExpAvg, Tensor ExpAvgSq);
}
