// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Emits constants, enums and structs.</summary>
internal static partial class TypeEmitter
{
    /// <summary>The one enum that callers of the managed library see.</summary>
    private const string StatusType = "mezzo_status";

    public static void Constants(CodeWriter code, Header header)
    {
        code.Line("/// <summary>Constants of the header.</summary>");
        using (code.Braces("internal static class Constants"))
        {
            Separated(code, header.Constants, constant =>
            {
                XmlDoc.Write(code, constant.Doc);
                code.Line($"public const int {Names.Constant(constant.Name)} = {constant.Value};");
            });
        }
    }

    public static void Status(CodeWriter code, Header header)
    {
        EnumType status = header.FindEnum(StatusType)
            ?? throw new GeneratorException($"The headers declare no enum {StatusType}.");
        Enum(code, status, header, "public");
    }

    public static void Enums(CodeWriter code, Header header) => Separated(
        code, header.Enums.Where(type => type.Name != StatusType), type => Enum(code, type, header, "internal"));

    public static void Structs(CodeWriter code, Header header) =>
        Separated(code, header.Structs, type => Struct(code, type, header));

    private static void Enum(CodeWriter code, EnumType type, Header header, string access)
    {
        XmlDoc.Write(code, type.Doc);
        if (header.Structs.SelectMany(@struct => @struct.Fields).Any(field => FlagsOf(field) == type.Name))
        {
            code.Line("[Flags]");
        }

        using (code.Braces($"{access} enum {Names.Type(type.Name)}"))
        {
            Separated(code, type.Members, member =>
            {
                XmlDoc.Write(code, member.Doc);
                code.Line($"{Names.EnumMember(type.Name, member.Name)} = {member.Value},");
            });
        }
    }

    private static void Struct(CodeWriter code, StructType type, Header header)
    {
        string name = Names.Type(type.Name);
        XmlDoc.Write(code, type.Doc);
        if (type.IsHandle)
        {
            XmlDoc.Parameter(code, "Id", type.Fields[0].Doc.Text);
            code.Line("[StructLayout(LayoutKind.Sequential)]");
            code.Line($"internal readonly record struct {name}(ulong Id);");
            return;
        }

        code.Line("[StructLayout(LayoutKind.Sequential)]");
        using (code.Braces($"internal struct {name}"))
        {
            Separated(code, type.Fields, field =>
            {
                XmlDoc.Write(code, field.Doc);
                code.Line($"public {FieldType(field, header)} {Names.Field(field.Name)};");
            });
            if (type.IsDescriptor)
            {
                code.Line();
                code.Line("/// <summary>All zero but the size, which is set.</summary>");
                code.Line($"public unsafe {name}() => StructSize = (uint)sizeof({name});");
            }

            foreach (Field field in type.Fields.Where(field => field.Type.Length > 0))
            {
                code.Line();
                Array(code, field);
            }
        }
    }

    private static void Array(CodeWriter code, Field field)
    {
        string name = Names.Field(field.Name);
        code.Line($"/// <summary>The {field.Type.Length} elements of <see cref=\"{name}\"/>.</summary>");
        code.Line($"[InlineArray({field.Type.Length})]");
        using (code.Braces($"internal struct {ArrayType(field)}"))
        {
            code.Line($"private {Names.CSharp(field.Type)} _element;");
        }
    }

    private static string ArrayType(Field field) => Names.Field(field.Name) + "Array";

    private static string FieldType(Field field, Header header)
    {
        if (field.Type.Length > 0)
        {
            return ArrayType(field);
        }

        if (FlagsOf(field) is not { } flags)
        {
            return Names.CSharp(field.Type);
        }

        return header.FindEnum(flags) is not null && field.Type.Name is "int32_t" or "uint32_t"
            ? Names.Type(flags)
            : throw new GeneratorException(
                $"Field {field.Name} is documented as bits of {flags}; expected an enum of the headers, and 32 bits.");
    }

    // "bits of mezzo_linear_accumulate" makes an integer field a set of the enum's values.
    private static string? FlagsOf(Field field)
    {
        Match match = FlagsPattern().Match(field.Doc.Text);
        return match.Success ? match.Groups["enum"].Value : null;
    }

    private static void Separated<T>(CodeWriter code, IEnumerable<T> items, Action<T> write)
    {
        bool isFirst = true;
        foreach (T item in items)
        {
            if (!isFirst)
            {
                code.Line();
            }

            isFirst = false;
            write(item);
        }
    }

    [GeneratedRegex(@"^bits of (?<enum>mezzo_\w+)")]
    private static partial Regex FlagsPattern();
}
