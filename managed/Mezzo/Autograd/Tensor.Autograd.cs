// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Checkpointing;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    private bool _requiresGrad;
    private GradientSlot? _leafGradient;

    /// <summary>Whether gradients flow to this tensor.</summary>
    /// <exception cref="InvalidOperationException">
    /// Set on a tensor that is not floating point, or on the result of a recorded op.
    /// </exception>
    public bool RequiresGrad
    {
        get => Producer is not null || GradientOwner._requiresGrad;
        set
        {
            if (Producer is not null)
            {
                throw new InvalidOperationException("RequiresGrad can only be changed on leaf tensors, not on the result of an op.");
            }

            if (value && !DType.IsFloatingPoint())
            {
                throw new InvalidOperationException($"Only floating-point tensors can require gradients, but this one is {Description}.");
            }

            _requiresGrad = value;
        }
    }

    /// <summary>The sum of the gradients of a leaf since it was last cleared; null when there is none.</summary>
    public Tensor? Grad => _leafGradient?.Value;

    /// <summary>The op that made the tensor, when it was recorded.</summary>
    internal Operation? Producer { get; private set; }

    /// <summary>
    /// The tensor that receives this one's gradient: itself, or the parameter that it is a 16-bit copy of.
    /// </summary>
    internal Tensor GradientOwner { get => field ?? this; set; }

    /// <summary>Where gradients of this tensor are summed up.</summary>
    internal GradientSlot GradientSlot => Producer?.OutputGradient ?? GradientOwner.LeafGradient();

    /// <summary>Number of recorded ops that keep the tensor for their backward pass.</summary>
    internal int SaveCount { get; set; }

    /// <summary>
    /// Whether the program cannot have a reference to the tensor, as with a cast made by autocast or with
    /// what flows between the modules of a <see cref="Sequential"/>. It is freed once no op needs it.
    /// </summary>
    internal bool IsTransient { get; set; }

    /// <summary>Computes the gradients of all leaves that this tensor depends on, and adds them to <see cref="Grad"/>.</summary>
    /// <param name="gradient">Gradient of this tensor; may be left out for a scalar, where it is 1.</param>
    /// <param name="retainGraph">Keeps what is needed to run through the graph again.</param>
    /// <exception cref="InvalidOperationException">
    /// The tensor does not require gradients, is not a scalar while no gradient is given, or its graph was
    /// already run through.
    /// </exception>
    public void Backward(Tensor? gradient = null, bool retainGraph = false)
    {
        if (!RequiresGrad)
        {
            throw new InvalidOperationException($"The tensor {Description} does not require grad and does not have a grad_fn.");
        }

        if (gradient is null && ElementCount != 1)
        {
            throw new InvalidOperationException($"Grad can be implicitly created only for scalar outputs, but this tensor is {Description}.");
        }

        if (gradient is not null && (gradient.DType != DType || !gradient.Shape.SequenceEqual(Shape)))
        {
            throw new ArgumentException($"The gradient is {gradient.Description}, expected {Description}.", nameof(gradient));
        }

        var seed = AllocateOwned(Shape, DType, Device);
        if (gradient is null)
        {
            Calls.Fill(seed.Handle, 1);
        }
        else
        {
            Calls.TensorCopy(seed.Handle, gradient.Handle);
            GC.KeepAlive(gradient);
        }

        BackwardPass.Run(this, seed, retainGraph);
    }

    /// <summary>Whether the gradient of a leaf is multiplied by a loss scale.</summary>
    internal bool IsGradScaled { get => field && Grad is not null; set; }

    /// <summary>Frees the gradient of a leaf.</summary>
    public void ClearGrad()
    {
        _leafGradient?.Clear();
        IsGradScaled = false;
    }

    /// <summary>The same elements without their history: no gradient flows through the result.</summary>
    public Tensor Detach()
    {
        var view = TensorScope.Adopt(ViewOwned(Shape));
        TapeObserver.TellOfView(this);
        return view;
    }

    /// <summary>Hands the gradient of a leaf to the caller, who owns it from now on.</summary>
    internal Tensor? TakeGrad() => _leafGradient?.Take();

    /// <summary>Replaces the gradient of a leaf by one that was computed elsewhere, and takes it over.</summary>
    internal void PutGrad(Tensor gradient)
    {
        ClearGrad();
        LeafGradient().Add(gradient);
    }

    /// <summary>Whether a check has seen the gradient of a leaf as it is.</summary>
    internal bool IsGradCheckedBy(GradientCheck check) => _leafGradient?.IsCheckedBy(check) ?? false;

    /// <summary>Lets a check be told of what happens to the gradient of a leaf.</summary>
    internal void WatchGrad(GradientCheck check) => LeafSlot.Watch(check);

    /// <summary>Notes the op that made the tensor.</summary>
    internal void Record(Operation producer) => Producer = producer;

    /// <summary>
    /// Frees a transient tensor that no op needs any more, nor will need before the backward pass, for which a
    /// <see cref="CheckpointRegion"/> makes it once more.
    /// </summary>
    internal void FreeIfUnused()
    {
        if (!IsTransient)
        {
            return;
        }

        if (Region is null)
        {
            if (SaveCount == 0)
            {
                FreeNow();
            }
        }
        else if (SaveCount == 0 || Region.IsOpen)
        {
            Drop();
        }
    }

    private GradientSlot LeafSlot => _leafGradient ??= new GradientSlot(this, isLeaf: true);

    private GradientSlot LeafGradient()
    {
        CaptureTrace.Current?.WriteGradient(this);
        if (BackwardPass.IsScaled)
        {
            IsGradScaled = true; // once the gradient is there
        }

        return LeafSlot;
    }
}
