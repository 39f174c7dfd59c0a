// SPDX-License-Identifier: MIT
namespace Mezzo.Bindings.Generator.Model;

/// <summary>The C types that look the same on every platform, and their names in C#.</summary>
internal static class Primitives
{
    public static IReadOnlyDictionary<string, string> CSharp { get; } = new Dictionary<string, string>
    {
        ["int8_t"] = "sbyte",
        ["uint8_t"] = "byte",
        ["int16_t"] = "short",
        ["uint16_t"] = "ushort",
        ["int32_t"] = "int",
        ["uint32_t"] = "uint",
        ["int64_t"] = "long",
        ["uint64_t"] = "ulong",
        ["float"] = "float",
        ["double"] = "double",
    };
}
