// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Of which gradients the norm is taken that they are clipped by.</summary>
public enum ClippingScope
{
    /// <summary>Of all gradients of the optimizer, as <c>torch.nn.utils.clip_grad_norm_</c> is called.</summary>
    All = 0,

    /// <summary>Of those of the parameter group, as apex's <c>FusedAdam</c> of 2019 does with <c>max_grad_norm</c>.</summary>
    Group = 1,

    /// <summary>Of each parameter by itself, as <c>BertAdam</c> does with <c>max_grad_norm</c>.</summary>
    Parameter = 2,
}

/// <summary>
/// Clipping of gradients in the optimizer's pass, after they are divided by the loss scale: first by norm, then by value.
/// The gradients themselves are left as they are.
/// </summary>
/// <remarks>
/// By norm each is multiplied by min(1, max / (norm + 1e-6)), as PyTorch's <c>clip_grad_norm_</c> does; the norm is computed in
/// the pass that looks for Inf and NaN. By value each element is brought to [-max, max], as <c>clip_grad_value_</c> does.
/// </remarks>
/// <example><code>
/// new Adam(model.Parameters(), AdamOptions.AdamW with { Clipping = GradientClipping.ByNorm(1.0) });
/// </code></example>
public sealed record GradientClipping
{
    private GradientClipping()
    {
    }

    /// <summary>Largest norm; 0 for no clipping by norm.</summary>
    public double MaxNorm { get; private init; }

    /// <summary>Of which gradients the norm is taken.</summary>
    public ClippingScope Scope { get; private init; }

    /// <summary>Largest absolute value of an element; 0 for no clipping by value.</summary>
    public double MaxValue { get; private init; }

    /// <summary>Clips by norm.</summary>
    /// <param name="maxNorm">Largest norm, finite and above 0.</param>
    /// <param name="scope">Of which gradients.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public static GradientClipping ByNorm(double maxNorm, ClippingScope scope = ClippingScope.All) => new GradientClipping().AndByNorm(maxNorm, scope);

    /// <summary>Clips by value.</summary>
    /// <param name="maxValue">Largest absolute value, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">The argument is out of its range.</exception>
    public static GradientClipping ByValue(double maxValue) => new GradientClipping().AndByValue(maxValue);

    /// <summary>Clips by norm, too. Arguments as in <see cref="ByNorm"/>.</summary>
    public GradientClipping AndByNorm(double maxNorm, ClippingScope scope = ClippingScope.All) => this with
    {
        MaxNorm = Requirements.FiniteAboveZero(maxNorm, nameof(maxNorm)),
        Scope = Enum.IsDefined(scope) ? scope : throw new ArgumentOutOfRangeException(nameof(scope), scope, "Not a scope of clipping."),
    };

    /// <summary>Clips by value, too. Argument as in <see cref="ByValue"/>.</summary>
    public GradientClipping AndByValue(double maxValue) => this with { MaxValue = Requirements.FiniteAboveZero(maxValue, nameof(maxValue)) };
}
