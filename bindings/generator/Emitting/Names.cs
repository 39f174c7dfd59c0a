// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Turns the header's names into .NET's.</summary>
internal static class Names
{
    private const string FunctionPrefix = "mezzo_";

    /// <summary>The only names of the header that C# reserves.</summary>
    private static readonly HashSet<string> Keywords =
        ["base", "checked", "default", "event", "fixed", "in", "object", "operator", "out", "params", "ref", "string"];

    /// <summary><c>mezzo_linear_desc</c> becomes <c>MezzoLinearDesc</c>.</summary>
    public static string Type(string name) => Pascal(name);

    /// <summary><c>mezzo_linear_forward</c> becomes <c>LinearForward</c>.</summary>
    public static string Function(string name) => Pascal(Unprefixed(name, FunctionPrefix));

    /// <summary><c>MEZZO_DTYPE_F32</c> of <c>mezzo_dtype</c> becomes <c>F32</c>.</summary>
    public static string EnumMember(string type, string member) =>
        Pascal(Unprefixed(member, type.ToUpperInvariant() + "_"));

    /// <summary><c>struct_size</c> becomes <c>StructSize</c>.</summary>
    public static string Field(string name) => Pascal(name);

    /// <summary><c>MEZZO_MAX_RANK</c> becomes <c>MaxRank</c>.</summary>
    public static string Constant(string name) => Function(name.ToLowerInvariant());

    /// <summary><c>grad_input</c> becomes <c>gradInput</c>, <c>out</c> becomes <c>@out</c>.</summary>
    public static string Parameter(string name) => Keywords.Contains(name) ? "@" + name : Variable(name);

    /// <summary>As <see cref="Parameter"/>, for a part of a longer name.</summary>
    public static string Variable(string name)
    {
        string[] words = name.Split('_', 2);
        return words[0].ToLowerInvariant() + (words.Length > 1 ? Pascal(words[1]) : "");
    }

    /// <summary>The C# spelling of a C type in a raw import or a struct.</summary>
    public static string CSharp(CType type)
    {
        string name = type.Name switch
        {
            "void" => "void",
            "char" => "byte",
            _ => Primitives.CSharp.TryGetValue(type.Name, out string? primitive) ? primitive : Type(type.Name),
        };
        return name + new string('*', type.Pointers);
    }

    private static string Unprefixed(string name, string prefix) => name.StartsWith(prefix, StringComparison.Ordinal)
        ? name[prefix.Length..]
        : throw new GeneratorException($"{name} does not start with {prefix}");

    private static string Pascal(string name) => string.Concat(name.Split('_').Select(Word));

    // Names of number formats keep their capitals: F32, BF16.
    private static string Word(string word)
    {
        if (word.Equals("dtype", StringComparison.OrdinalIgnoreCase))
        {
            return "DType";
        }

        bool isFormat = word.Any(char.IsAsciiDigit) && char.IsAsciiLetterUpper(word[0]);
        return isFormat ? word : char.ToUpperInvariant(word[0]) + word[1..].ToLowerInvariant();
    }
}
