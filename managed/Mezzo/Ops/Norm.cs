// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// What all norms have in common: input, weight and bias, and that they keep input and weight, and mean and reciprocal deviation of
/// what is brought to deviation 1.
/// </summary>
internal abstract class NormOperation : Operation
{
    protected const int InputIndex = 0;
    protected const int WeightIndex = 1;
    protected const int BiasIndex = 2;
    private SavedTensor _input;
    private SavedTensor? _weight;
    private SavedTensor? _mean;
    private SavedTensor _rstd;

    internal sealed override bool TakesMaster(int index) => index != InputIndex;

    /// <summary>A weight or bias as the norms take it: f32 where it is 16 bits wide.</summary>
    public static Tensor? Widened(Tensor? vector) => vector is not null && vector.DType.IsHalf() ? vector.To(DType.Float32) : vector;

    /// <summary>Keeps what the backward pass needs; a norm without a mean has none.</summary>
    protected void SaveForBackward(Tensor? mean, Tensor rstd)
    {
        _input = Save(Input(InputIndex));
        _weight = SaveOptional(WeightIndex);
        _mean = mean is null ? null : SaveOwn(mean);
        _rstd = SaveOwn(rstd);
    }

    protected sealed override void Backward(Tensor gradOutput)
    {
        var (gradInput, gradWeight) = (MakeGradient(InputIndex), MakeGradient(WeightIndex));
        var gradBias = InputCount > BiasIndex ? MakeGradient(BiasIndex) : null;
        RunBackward(new NormBackward(
            gradInput?.Handle ?? default,
            gradWeight?.Handle ?? default,
            gradBias?.Handle ?? default,
            gradOutput.Handle,
            _input.Value.Handle,
            _mean?.Value.Handle ?? default,
            _rstd.Value.Handle,
            _weight?.Value.Handle ?? default));
        AddMadeGradient(InputIndex, gradInput);
        AddMadeGradient(WeightIndex, gradWeight);
        AddMadeGradient(BiasIndex, gradBias);
    }

    /// <summary>Writes the gradients that are wanted.</summary>
    protected abstract void RunBackward(NormBackward tensors);

    /// <summary>The tensors of a backward pass; the null tensor for what is not wanted or not there.</summary>
    protected readonly record struct NormBackward(
        MezzoTensor GradInput,
        MezzoTensor GradWeight,
        MezzoTensor GradBias,
        MezzoTensor GradOutput,
        MezzoTensor Input,
        MezzoTensor Mean,
        MezzoTensor Rstd,
        MezzoTensor Weight);
}
