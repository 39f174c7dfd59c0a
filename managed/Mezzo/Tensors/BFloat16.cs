// SPDX-License-Identifier: MIT
#if NET11_0_OR_GREATER
global using BFloat16 = System.Numerics.BFloat16;
#else
using System.Globalization;

namespace Mezzo;

/// <summary>
/// A bfloat16 number: the sign, exponent and upper 7 fraction bits of a <see cref="float"/>.
/// Stands in for <c>System.Numerics.BFloat16</c>, which .NET has from version 11 on.
/// </summary>
public readonly record struct BFloat16 : IFormattable
{
    private readonly ushort _bits;

    private BFloat16(ushort bits) => _bits = bits;

    /// <summary>Rounds to the nearest bfloat16, ties to even; NaN stays NaN.</summary>
    public static explicit operator BFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return new BFloat16(float.IsNaN(value)
            ? (ushort)((bits >> 16) | 0x40)
            : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16));
    }

    /// <summary>The same number as a <see cref="float"/>; exact.</summary>
    public static explicit operator float(BFloat16 value) => BitConverter.UInt32BitsToSingle((uint)value._bits << 16);

    /// <summary>The number with the given bits.</summary>
    public static BFloat16 FromBits(ushort bits) => new(bits);

    /// <summary>The number's bits.</summary>
    public ushort ToBits() => _bits;

    /// <inheritdoc/>
    public override string ToString() => ToString(null, CultureInfo.CurrentCulture);

    /// <inheritdoc/>
    public string ToString(string? format, IFormatProvider? formatProvider) =>
        ((float)this).ToString(format, formatProvider);
}
#endif
