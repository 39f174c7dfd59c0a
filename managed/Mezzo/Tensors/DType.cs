// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Element type of a tensor.</summary>
public enum DType
{
    /// <summary>IEEE 754 binary32; in C# <see cref="float"/>.</summary>
    Float32 = 1,

    /// <summary>IEEE 754 binary64; in C# <see cref="double"/>.</summary>
    Float64 = 2,

    /// <summary>IEEE 754 binary16; in C# <see cref="Half"/>.</summary>
    Float16 = 3,

    /// <summary>The upper half of a binary32; in C# <see cref="Mezzo.BFloat16"/>.</summary>
    BFloat16 = 4,

    /// <summary>Signed 64-bit integer; in C# <see cref="long"/>.</summary>
    Int64 = 5,

    /// <summary>Signed 32-bit integer; in C# <see cref="int"/>.</summary>
    Int32 = 6,

    /// <summary>Unsigned 8-bit integer; in C# <see cref="byte"/>.</summary>
    UInt8 = 7,
}

/// <summary>Facts about element types.</summary>
public static class DTypes
{
    private static readonly (DType DType, Type Element, string Name, int Size)[] Table =
    [
        (DType.Float32, typeof(float), "f32", 4),
        (DType.Float64, typeof(double), "f64", 8),
        (DType.Float16, typeof(Half), "f16", 2),
        (DType.BFloat16, typeof(BFloat16), "bf16", 2),
        (DType.Int64, typeof(long), "i64", 8),
        (DType.Int32, typeof(int), "i32", 4),
        (DType.UInt8, typeof(byte), "u8", 1),
    ];

    /// <summary>The short name that messages use: f64, f32, f16, bf16, i64, i32, u8.</summary>
    public static string ShortName(this DType dtype) => Row(dtype).Name;

    /// <summary>Size of one element in bytes.</summary>
    public static int Size(this DType dtype) => Row(dtype).Size;

    /// <summary>Whether the type is one of f64, f32, f16 and bf16.</summary>
    public static bool IsFloatingPoint(this DType dtype) =>
        dtype is DType.Float32 or DType.Float64 or DType.Float16 or DType.BFloat16;

    /// <summary>Whether the type is f16 or bf16.</summary>
    public static bool IsHalf(this DType dtype) => dtype is DType.Float16 or DType.BFloat16;

    /// <summary>What numbers of the type are computed in: f32 for f16 and bf16, else the type itself.</summary>
    internal static DType Arithmetic(this DType dtype) => dtype.IsHalf() ? DType.Float32 : dtype;

    /// <summary>The element type that stands for a C# type.</summary>
    /// <exception cref="NotSupportedException">No tensor holds elements of that C# type.</exception>
    public static DType Of<T>()
        where T : unmanaged
    {
        foreach (var row in Table)
        {
            if (row.Element == typeof(T))
            {
                return row.DType;
            }
        }

        throw new NotSupportedException(
            $"No tensor holds elements of type {typeof(T).Name}; expected one of {string.Join(", ", Table.Select(r => r.Element.Name))}.");
    }

    private static (DType DType, Type Element, string Name, int Size) Row(DType dtype) =>
        (int)dtype >= 1 && (int)dtype <= Table.Length
            ? Table[(int)dtype - 1]
            : throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "Not a dtype.");
}
