// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Emits the raw imports: one function of the header each, under its C name, blittable types only.</summary>
internal static class ImportEmitter
{
    public static void Imports(CodeWriter code, Header header)
    {
        code.Line("/// <summary>The functions of the header, as they are.</summary>");
        using (code.Braces("internal static unsafe partial class NativeMethods"))
        {
            code.Line("/// <summary>Name of the library, which the resolver turns into a path.</summary>");
            code.Line("public const string LibraryName = \"mezzo\";");
            foreach (Function function in header.Functions)
            {
                code.Line();
                Import(code, function);
            }
        }
    }

    private static void Import(CodeWriter code, Function function)
    {
        XmlDoc.Write(code, function.Doc);
        foreach (Parameter parameter in function.Parameters.Where(parameter => parameter.Doc is not null))
        {
            XmlDoc.Parameter(code, Names.Parameter(parameter.Name), parameter.Doc!.Text);
        }

        if (function.Doc.Returns.Length > 0)
        {
            XmlDoc.Returns(code, function.Doc.Returns);
        }

        string parameters = string.Join(", ", function.Parameters
            .Select(parameter => $"{Names.CSharp(parameter.Type)} {Names.Parameter(parameter.Name)}"));
        code.Line("[LibraryImport(LibraryName)]");
        code.Line("[UnmanagedCallConv(CallConvs = [typeof(CallConvCdecl)])]");
        code.Line($"internal static partial {Names.CSharp(function.Result)} {function.Name}({parameters});");
    }
}
