// SPDX-License-Identifier: MIT
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>The peak of a training step against the count by hand in docs/memory.md, which is that of the CPU.</summary>
[Category(TestDevice.CpuOnly)]
internal sealed class MemoryTests : TensorFixture
{
    private const int Samples = 20000;
    private const int Hidden = 150;

    [TestCase(Precision.Float32)]
    [TestCase(Precision.BFloat16)]
    public void PeakBytes_OfTheStudysStep_EqualTheCountByHand(Precision precision)
    {
        var device = Device.Cpu;
        long before = device.SettledBytes();
        using var study = new SinCosStudy(Samples, Hidden, seed: 0);
        using var adam = new Adam(study.Parameters());
        using var trainer = new Trainer(adam, new TrainerOptions { Precision = precision });
        trainer.Step(study.Loss);
        device.ResetPeakMemory();
        trainer.Step(study.Loss);
        long peak = device.Memory.PeakBytes - before;
        Assert.That(peak, Is.EqualTo(CountByHand(precision == Precision.Float32 ? DType.Float32 : DType.BFloat16)).Within(1).Percent);
    }

    private static long CountByHand(DType activation)
    {
        long e = activation.Size();
        bool isHalf = activation.IsHalf();
        const long Weights = Hidden + 4 * Hidden * Hidden + 2 * Hidden;
        const long Biases = 5 * Hidden + 2;
        const long Activation = Samples * Hidden;
        long state = 3 * 4 * (Weights + Biases) + (isHalf ? 2 * Weights : 0);
        long data = Samples * (4 + 2 * 8) + (isHalf ? 2 * Samples : 0);
        long predictions = 2 * Samples * (e + 8) + 8 * Samples;
        long headGradients = 4 * (Hidden * Hidden + Hidden + Hidden + 1);
        return state + data + predictions + headGradients + 6 * Activation * e + Scratch(activation);
    }

    /// <summary>
    /// What the backward pass of a head's first layer needs besides its arguments, which depends on the processor: of the second
    /// head, which adds to the gradient that the first one has left, and may need more for that.
    /// </summary>
    private static long Scratch(DType activation)
    {
        using var scope = TensorScope.Begin();
        var (gradInput, gradOutput, input) = (Rows(), Rows(), Rows());
        var weight = Tensor.Zeros([Hidden, Hidden], activation);
        var gradWeight = Tensor.Zeros([Hidden, Hidden]);
        Device.Cpu.ResetPeakMemory();
        long before = Device.Cpu.Memory.CurrentBytes;
        Calls.LinearBackward(
            gradInput.Handle,
            gradWeight.Handle,
            default,
            default,
            default,
            gradOutput.Handle,
            input.Handle,
            weight.Handle,
            default,
            new MezzoLinearDesc { Accumulate = MezzoLinearAccumulate.Input });
        return Device.Cpu.Memory.PeakBytes - before;

        Tensor Rows() => Tensor.Zeros([Samples, Hidden], activation);
    }
}
