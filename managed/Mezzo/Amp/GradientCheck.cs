// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// A scaler's check of one optimizer's gradients for Inf and NaN, made as they are written: an op of a backward pass
/// that can check its results at little cost, as a linear layer on a GPU can, sets <see cref="FoundInf"/>, and only
/// what no such op has written is read once more before the step.
/// </summary>
/// <remarks>
/// Ops write to the check while it is open: from the first scaled loss after an update to the step. Where a checked
/// gradient is cleared or changed in between, what was found no longer tells of what is there, and everything is read.
/// </remarks>
internal sealed class GradientCheck(Device device)
{
    private bool _isOpen;
    private bool _isStale;
    private long _capture;

    /// <summary>f32 scalar, 1 once Inf or NaN was found, 0 until then.</summary>
    public Tensor FoundInf { get; } = Tensor.AllocateOwned([], DType.Float32, device);

    /// <summary>Number of times that the check was opened.</summary>
    public long Round { get; private set; }

    /// <summary>
    /// Whether ops may write to <see cref="FoundInf"/>. What was opened outside of a capture is not open within it, nor
    /// the other way round: a launch begins with a 0 of its own.
    /// </summary>
    public bool IsOpen => _isOpen && _capture == CurrentCapture;

    /// <summary>Number of the capture under way, 0 for none. The trace itself would keep all that it has seen alive.</summary>
    private static long CurrentCapture => CaptureTrace.Recording?.Number ?? 0;

    /// <summary>The open check that all gradients belong to, as far as they are wanted; null when there is no such one.</summary>
    public static GradientCheck? Of(params ReadOnlySpan<GradientBuffer?> gradients)
    {
        GradientCheck? common = null;
        foreach (var gradient in gradients)
        {
            if (gradient is { } wanted)
            {
                var check = wanted.Check;
                if (check is not { IsOpen: true } || (common ?? check) != check)
                {
                    return null;
                }

                common = check;
            }
        }

        return common;
    }

    /// <summary>Begins a round, unless one is under way that still tells of the gradients.</summary>
    /// <param name="parameters">The optimizer's: their gradients belong to this check from now on.</param>
    public void Open(IReadOnlyList<Parameter> parameters)
    {
        if (!IsOpen || _isStale)
        {
            Clear();
            Round++;
            (_isOpen, _isStale, _capture) = (true, false, CurrentCapture);
        }

        foreach (var parameter in parameters)
        {
            parameter.WatchGrad(this);
        }
    }

    /// <summary>Ends the round, if there is one.</summary>
    public void Close() => _isOpen = false;

    /// <summary>Says that a gradient that was checked in this round is not there any more.</summary>
    public void Invalidate() => _isStale = true;

    /// <summary>Ends the round and reads the gradients that it does not cover.</summary>
    /// <param name="parameters">The optimizer's.</param>
    /// <param name="isReadLater">Says of which the caller will check the gradients by itself.</param>
    public void Complete(IReadOnlyList<Parameter> parameters, Func<Parameter, bool> isReadLater)
    {
        var present = WithGradient(parameters);
        var missing = Array.FindAll(present, parameter => !parameter.IsGradCheckedBy(this)); // finds changes in place too
        if (!IsOpen || _isStale)
        {
            Clear();
            missing = present;
        }

        Close();
        Read(Array.FindAll(missing, parameter => !isReadLater(parameter)), default, new MezzoUnscaleDesc { CheckOnly = 1 });
    }

    /// <summary>Ends the round, reads all gradients and divides them by the scale.</summary>
    public void Unscale(IReadOnlyList<Parameter> parameters, Tensor scale)
    {
        Close();
        Clear();
        var present = WithGradient(parameters);
        Read(present, scale.Handle, desc: null);
        Array.ForEach(present, parameter => parameter.Grad!.MarkChanged());
    }

    private static Parameter[] WithGradient(IReadOnlyList<Parameter> parameters) =>
        [.. parameters.Where(parameter => parameter.Grad is not null)];

    /// <summary>Sets what was found to 0, and with each launch of what is being captured, which a round outside of it does not outlive.</summary>
    private void Clear()
    {
        Calls.Fill(FoundInf.Handle, 0);
        CaptureTrace.Recording?.OnLaunch(Close);
    }

    private void Read(Parameter[] parameters, MezzoTensor scale, MezzoUnscaleDesc? desc)
    {
        if (parameters.Length > 0)
        {
            Calls.Unscale(FoundInf.Handle, Array.ConvertAll(parameters, parameter => parameter.Grad!.Handle), scale, desc);
        }
    }
}

/// <summary>What a check knows of one gradient.</summary>
internal sealed class CheckedGradient(GradientCheck check)
{
    private long _round = -1;
    private int _version;
    private bool _isWhole;

    /// <summary>The check.</summary>
    public GradientCheck Check => check;

    /// <summary>Whether something that is in the gradient has been checked in this round.</summary>
    private bool IsInRound => _round == check.Round;

    /// <summary>Says that an op has written the gradient.</summary>
    /// <param name="gradient">The sum as it is now.</param>
    /// <param name="isChecked">Whether the op has checked what it wrote.</param>
    /// <param name="isWhole">Whether that is the sum, and not a part that was added to it.</param>
    public void Write(Tensor gradient, bool isChecked, bool isWhole)
    {
        LookForChange(gradient);
        _round = isChecked ? check.Round : _round;
        (_version, _isWhole) = (gradient.Version, isChecked && isWhole);
    }

    /// <summary>Whether the gradient as it is has been checked.</summary>
    public bool Covers(Tensor gradient)
    {
        LookForChange(gradient);
        return check.IsOpen && IsInRound && _isWhole;
    }

    /// <summary>Says that the gradient is cleared.</summary>
    public void Clear()
    {
        if (IsInRound)
        {
            check.Invalidate();
        }

        _round = -1;
    }

    private void LookForChange(Tensor gradient)
    {
        if (IsInRound && gradient.Version != _version)
        {
            check.Invalidate();
        }
    }
}
