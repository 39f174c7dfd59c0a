// SPDX-License-Identifier: MIT
namespace Mezzo.Bindings.Generator.Model;

/// <summary>Everything that the public header declares, in the order of declaration.</summary>
internal sealed record Header(
    IReadOnlyList<Constant> Constants,
    IReadOnlyList<EnumType> Enums,
    IReadOnlyList<StructType> Structs,
    IReadOnlyList<Function> Functions)
{
    public StructType? FindStruct(string name) => Structs.FirstOrDefault(type => type.Name == name);

    public EnumType? FindEnum(string name) => Enums.FirstOrDefault(type => type.Name == name);
}

/// <summary>An object-like macro whose value is a decimal integer.</summary>
internal sealed record Constant(string Name, long Value, Doc Doc);

internal sealed record EnumType(string Name, IReadOnlyList<EnumMember> Members, Doc Doc);

internal sealed record EnumMember(string Name, long Value, Doc Doc);

internal sealed record StructType(string Name, IReadOnlyList<Field> Fields, bool IsHandle, Doc Doc)
{
    /// <summary>A descriptor starts with its own size, so that later versions can append fields.</summary>
    public bool IsDescriptor => Fields[0].Name == "struct_size";
}

internal sealed record Field(string Name, CType Type, Doc Doc);

internal sealed record Function(
    string Name, CType Result, IReadOnlyList<Parameter> Parameters, Doc Doc, SourceLocation Location);

internal sealed record Parameter(string Name, CType Type, ParameterDoc? Doc);

/// <summary>A C type: a name, <c>const</c>, a number of stars or a fixed array length.</summary>
/// <param name="Name">The innermost type without qualifiers, such as <c>int64_t</c>.</param>
/// <param name="IsConst">Whether what is pointed to is constant.</param>
/// <param name="Pointers">Number of stars.</param>
/// <param name="Length">Number of elements of a fixed array, 0 for none.</param>
internal sealed record CType(string Name, bool IsConst, int Pointers, int Length)
{
    public bool IsVoid => Name == "void" && Pointers == 0;

    public bool IsString => Name == "char" && IsConst && Pointers == 1;
}

internal sealed record SourceLocation(string File, int Line)
{
    public override string ToString() => $"{File}:{Line}";
}
