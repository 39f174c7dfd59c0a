// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Mezzo;

/// <summary>
/// f32 numbers as a bf16 parameter, their upper halves rounded to nearest, half up, and a remainder, their lower halves: what
/// <c>param_copies</c> of the optimizers' C functions says.
/// </summary>
internal static class SplitFloat
{
    /// <summary>Upper halves, and the bytes of the lower ones.</summary>
    public static (BFloat16[] Upper, byte[] Lower) Split(ReadOnlySpan<float> values)
    {
        var upper = new BFloat16[values.Length];
        var lower = new byte[2 * values.Length];
        var upperBits = MemoryMarshal.Cast<BFloat16, ushort>(upper.AsSpan());
        for (int i = 0; i < values.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(float.IsNaN(values[i]) ? float.NaN : values[i]);
            upperBits[i] = (ushort)((bits >> 16) + ((bits >> 15) & 1));
            BinaryPrimitives.WriteUInt16LittleEndian(lower.AsSpan(2 * i), (ushort)bits);
        }

        return (upper, lower);
    }

    /// <summary>The numbers.</summary>
    public static float[] Join(ReadOnlySpan<BFloat16> upper, ReadOnlySpan<byte> lower)
    {
        var values = new float[upper.Length];
        var upperBits = MemoryMarshal.Cast<BFloat16, ushort>(upper);
        for (int i = 0; i < values.Length; i++)
        {
            uint low = BinaryPrimitives.ReadUInt16LittleEndian(lower[(2 * i)..]);
            values[i] = BitConverter.UInt32BitsToSingle(((upperBits[i] - (low >> 15)) << 16) | low);
        }

        return values;
    }
}
