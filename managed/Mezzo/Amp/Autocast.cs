// SPDX-License-Identifier: MIT
using Mezzo.Autograd;

namespace Mezzo;

/// <summary>
/// Runs ops in a 16-bit dtype where that is faster and safe, and in f32 where it is not, with PyTorch's
/// lists: matrix products in the 16-bit dtype, losses and reductions in f32, mixed inputs in the widest
/// dtype, everything else in the dtype of its inputs. f64 and integers are never cast. Parameters stay
/// f32; ops use 16-bit copies of them that the optimizer maintains.
/// </summary>
/// <remarks>Nests, flows with async code, and restores what was in force when it is disposed of.</remarks>
/// <example><code>using (Autocast.Enable(DType.BFloat16)) { loss = Losses.Mse(model.Forward(x), y); }</code></example>
public sealed class Autocast : IDisposable
{
    private static readonly AsyncLocal<DType?> Active = new();
    private readonly DType? _outer;

    private Autocast(DType? outer) => _outer = outer;

    /// <summary>The 16-bit dtype in force; null when autocast is off.</summary>
    public static DType? Current => Active.Value;

    /// <summary>Switches autocast on, or off, until the result is disposed of.</summary>
    /// <param name="dtype">Float16 or BFloat16.</param>
    /// <param name="enabled">False switches it off; tensors that are 16-bit already are not cast back.</param>
    /// <exception cref="ArgumentException"><paramref name="dtype"/> is not a 16-bit floating-point dtype.</exception>
    public static Autocast Enable(DType dtype, bool enabled = true)
    {
        if (!dtype.IsHalf())
        {
            throw new ArgumentException($"Autocast runs in f16 or bf16, got {dtype.ShortName()}.", nameof(dtype));
        }

        var guard = new Autocast(Active.Value);
        Active.Value = enabled ? dtype : null;
        return guard;
    }

    /// <summary>Switches autocast to a precision: off for <see cref="Precision.Float32"/>.</summary>
    public static Autocast Enable(Precision precision) => precision switch
    {
        Precision.Float32 => Enable(DType.BFloat16, enabled: false),
        Precision.BFloat16 => Enable(DType.BFloat16),
        Precision.Float16 => Enable(DType.Float16),
        _ => throw new ArgumentOutOfRangeException(nameof(precision), precision, "Not a precision."),
    };

    /// <summary>Restores what was in force before.</summary>
    public void Dispose() => Active.Value = _outer;

    /// <summary>Switches autocast to what <see cref="Current"/> was.</summary>
    internal static Autocast Restore(DType? dtype)
    {
        var guard = new Autocast(Active.Value);
        Active.Value = dtype;
        return guard;
    }

    /// <summary>The inputs that an op shall work on.</summary>
    internal static Tensor?[] CastInputs(Operation operation, ReadOnlySpan<Tensor?> inputs)
    {
        var cast = inputs.ToArray();
        var target = Active.Value is { } active ? Target(operation.CastPolicy, active, inputs) : null;
        for (int i = 0; i < cast.Length; i++)
        {
            if (target is { } dtype && cast[i] is { } input && IsEligible(input) && operation.CastsInput(i))
            {
                cast[i] = CastInput(input, dtype);
            }
            else if (cast[i] is Parameter parameter && !operation.TakesMaster(i))
            {
                cast[i] = parameter.AsComputed();
            }
        }

        return cast;
    }

    /// <summary>
    /// The result's dtype of an op of the policy <see cref="CastPolicy.Float32"/> that reads a 16-bit input as it is: f32,
    /// as if autocast had cast the input. Without autocast it is the input's.
    /// </summary>
    internal static DType Float32ResultOf(Tensor input) => Active.Value is null ? input.DType : input.DType.Arithmetic();

    private static DType? Target(CastPolicy policy, DType active, ReadOnlySpan<Tensor?> inputs) => policy switch
    {
        CastPolicy.LowPrecision => active,
        CastPolicy.Float32 => DType.Float32,
        CastPolicy.Widest => Widest(inputs),
        _ => null,
    };

    private static DType? Widest(ReadOnlySpan<Tensor?> inputs)
    {
        DType? widest = null;
        foreach (var input in inputs)
        {
            if (input is not null && IsEligible(input) && widest != DType.Float32)
            {
                // Of two different halves neither holds the other's numbers; f32 holds both.
                widest = widest is null || widest == input.DType ? input.DType : DType.Float32;
            }
        }

        return widest;
    }

    private static bool IsEligible(Tensor input) => input.DType.IsFloatingPoint() && input.DType != DType.Float64;

    private static Tensor CastInput(Tensor input, DType target)
    {
        if (input.DType == target)
        {
            return input;
        }

        if (input is Parameter parameter && target.IsHalf())
        {
            return parameter.LowPrecisionCopy(target);
        }

        var cast = input.To(target);
        cast.IsTransient = true;
        return cast;
    }
}
