// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>What the header of a safetensors file says of a tensor.</summary>
public sealed record SafeTensorInfo
{
    internal SafeTensorInfo(string name, SafeTensorsDType type, IReadOnlyList<long> shape, long begin, long end) =>
        (Name, Type, Shape, Begin, End) = (name, type, shape, begin, end);

    /// <summary>The tensor's name.</summary>
    public string Name { get; }

    /// <summary>Name of its element type in the file: "F32", "BOOL", ...</summary>
    public string TypeName => Type.Name;

    /// <summary>Its element type; null where no tensor here holds such elements.</summary>
    public DType? DType => Type.DType;

    /// <summary>Dimensions, outermost first; empty for a scalar.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>Dtype and shape as messages show them, such as <c>f32[20000,150]</c>.</summary>
    public string Description => $"{DType?.ShortName() ?? TypeName}[{string.Join(',', Shape)}]";

    internal SafeTensorsDType Type { get; }

    /// <summary>Where its elements begin, after the header.</summary>
    internal long Begin { get; }

    /// <summary>Where they end.</summary>
    internal long End { get; }
}

/// <summary>An element type of the format.</summary>
/// <param name="Name">Its name in headers.</param>
/// <param name="Size">Bytes of an element.</param>
/// <param name="DType">What it is here; null for nothing.</param>
internal sealed record SafeTensorsDType(string Name, int Size, DType? DType = null)
{
    private static readonly SafeTensorsDType[] All =
    [
        new("F64", 8, Mezzo.DType.Float64),
        new("F32", 4, Mezzo.DType.Float32),
        new("F16", 2, Mezzo.DType.Float16),
        new("BF16", 2, Mezzo.DType.BFloat16),
        new("I64", 8, Mezzo.DType.Int64),
        new("I32", 4, Mezzo.DType.Int32),
        new("U8", 1, Mezzo.DType.UInt8),
        new("C64", 8),
        new("U64", 8),
        new("U32", 4),
        new("I16", 2),
        new("U16", 2),
        new("I8", 1),
        new("BOOL", 1),
        new("F8_E4M3", 1),
        new("F8_E5M2", 1),
    ];

    public static SafeTensorsDType Of(DType dtype) => Array.Find(All, type => type.DType == dtype)!;

    public static SafeTensorsDType? Find(string name) => Array.Find(All, type => type.Name == name);
}
