// SPDX-License-Identifier: MIT
using System.Diagnostics;

namespace Mezzo.CheckpointBench;

/// <summary>
/// One forward and backward pass of a chain of linear layers with ReLU, from cleared gradients. There is no optimizer, so
/// that a plan's share of the time is the largest that it can have.
/// </summary>
internal sealed class Step : IDisposable
{
    private readonly Sequential _net;
    private readonly Parameter[] _parameters;
    private readonly Tensor _input;
    private readonly Tensor _target;
    private readonly bool _isMixed;

    public Step(int layers, int width, int rows, bool isMixed)
    {
        RandomSource.SetDefaultSeed(0);
        _isMixed = isMixed;
        _net = new Sequential([.. Enumerable.Range(0, layers).SelectMany(_ => new Module<Tensor, Tensor>[] { new Linear(width, width), new ReLU() })]);
        _parameters = [.. _net.Parameters()];
        (_input, _target) = (Tensor.Uniform([rows, width]), Tensor.Uniform([rows, width]));
    }

    /// <summary>Bytes before a step: parameters with their 16-bit copies, and data. Known once a step has run.</summary>
    public long LiveBytes { get; private set; }

    /// <summary>Bytes that a step leaves behind: the gradients of the parameters.</summary>
    public long GradientBytes { get; private set; }

    /// <summary>Runs a step and takes its gradients away.</summary>
    public (double Seconds, long PeakBytes) Run(CheckpointPlan? plan)
    {
        var device = Device.Cpu;
        device.ResetPeakMemory();
        LiveBytes = device.Memory.CurrentBytes;
        long start = Stopwatch.GetTimestamp();
        using (TensorScope.Begin())
        {
            Tensor loss;
            using (plan?.Enter())
            {
                loss = Loss();
            }

            loss.Backward();
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (plan?.Difference is { } difference)
        {
            throw new InvalidOperationException($"The step was not the one that was planned for: {difference}.");
        }

        var memory = device.Memory;
        GradientBytes = memory.CurrentBytes - LiveBytes;
        Array.ForEach(_parameters, parameter => parameter.ClearGrad());
        return (seconds, memory.PeakBytes);
    }

    public CheckpointProfile Profile() => CheckpointProfile.Measure(Loss);

    public void Dispose()
    {
        _net.Dispose();
        _input.Dispose();
        _target.Dispose();
    }

    private Tensor Loss()
    {
        using var autocast = Autocast.Enable(DType.BFloat16, _isMixed);
        return Losses.Mse(_net.Forward(_input), _target);
    }
}
