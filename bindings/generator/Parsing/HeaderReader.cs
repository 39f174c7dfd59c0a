// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>Turns clang's tree into the model, and refuses every declaration that has no counterpart in it.</summary>
internal sealed class HeaderReader
{
    private readonly string _folder;
    private readonly Dictionary<string, AstNode> _tags = [];
    private readonly Dictionary<string, string> _statusTexts = [];
    private readonly HashSet<string> _declared = [];
    private readonly TypeReader _types;
    private readonly List<EnumType> _enums = [];
    private readonly List<StructType> _structs = [];
    private readonly List<Function> _functions = [];

    private HeaderReader(string folder)
    {
        _folder = folder;
        _types = new TypeReader(_declared);
    }

    /// <summary>Reads the declarations of the headers in a folder.</summary>
    /// <param name="tree">Tree of a source that includes them.</param>
    /// <param name="folder">The folder as it stands in the tree's locations.</param>
    /// <param name="constants">The headers' constants, which a tree does not hold.</param>
    public static Header Read(AstNode tree, string folder, IReadOnlyList<Constant> constants)
    {
        var reader = new HeaderReader(folder);
        reader.ReadStatusTexts(tree);
        foreach (AstNode node in tree.Children.Where(reader.IsOurs))
        {
            reader.ReadDeclaration(node);
        }

        AstNode? unnamed = reader._tags.Values.FirstOrDefault();
        return unnamed is null
            ? new Header(constants, reader._enums, reader._structs, reader._functions)
            : throw new GeneratorException(unnamed.Location, $"{unnamed.Name} has no typedef");
    }

    private bool IsOurs(AstNode node) => node.Location.File.StartsWith(_folder + "/", StringComparison.Ordinal);

    private void ReadStatusTexts(AstNode tree)
    {
        foreach (AstNode text in tree.ChildrenOf("VarDecl")
                     .Where(node => node.Name.StartsWith(Clang.StatusTextPrefix, StringComparison.Ordinal)))
        {
            string literal = text.Children.First(child => child.Kind == "StringLiteral").Text("value");
            _statusTexts[text.Name[Clang.StatusTextPrefix.Length..]] = literal.Trim('"');
        }
    }

    private void ReadDeclaration(AstNode node)
    {
        switch (node.Kind)
        {
            case "EnumDecl" or "RecordDecl":
                ReadTag(node);
                break;
            case "TypedefDecl":
                ReadTypedef(node);
                break;
            case "FunctionDecl":
                _functions.Add(ReadFunction(node));
                break;
            default:
                throw NoCounterpart(node, $"{node.Kind} {node.Name}");
        }
    }

    // A tag waits for its typedef, which gives the name that the bindings use.
    private void ReadTag(AstNode node)
    {
        if (node.Text("tagUsed") == "union")
        {
            throw NoCounterpart(node, $"union {node.Name}");
        }

        if (node.Name.Length == 0)
        {
            throw new GeneratorException(node.Location, "no tag; expected typedef enum tag {...} name or struct");
        }

        if (node.Kind == "RecordDecl" && !node.Flag("completeDefinition"))
        {
            throw new GeneratorException(node.Location, $"struct {node.Name} is declared but not defined");
        }

        _tags.Add((node.Kind == "EnumDecl" ? "enum " : "struct ") + node.Name, node);
    }

    private void ReadTypedef(AstNode node)
    {
        if (!_tags.Remove(node.Type, out AstNode? tag))
        {
            throw NoCounterpart(node, $"typedef {node.Name} of {node.Type}, which is no enum or struct defined there,");
        }

        if (tag.Kind == "EnumDecl")
        {
            _enums.Add(ReadEnum(node.Name, tag));
        }
        else
        {
            _structs.Add(ReadStruct(node.Name, tag));
        }

        _declared.Add(node.Name);
    }

    private EnumType ReadEnum(string name, AstNode tag) =>
        new(name, tag.ChildrenOf("EnumConstantDecl").Select(ReadMember).ToList(), Documented(tag));

    private EnumMember ReadMember(AstNode node)
    {
        AstNode value = node.ChildrenOf("ConstantExpr").FirstOrDefault()
            ?? throw new GeneratorException(node.Location, $"{node.Name} has no value; expected a pinned one");
        Doc doc = _statusTexts.TryGetValue(node.Name, out string? text) ? Doc.Of(text) : Documented(node);
        return new EnumMember(node.Name, long.Parse(value.Text("value"), CultureInfo.InvariantCulture), doc);
    }

    private StructType ReadStruct(string name, AstNode tag)
    {
        List<Field> fields = tag.ChildrenOf("FieldDecl").Select(ReadField).ToList();
        if (fields.Count == 0)
        {
            throw new GeneratorException(tag.Location, $"struct {name} has no fields");
        }

        bool isHandle = tag.Name == name + "_handle";
        if (isHandle && fields is not [{ Name: "id", Type: { Name: "uint64_t", Pointers: 0, Length: 0 } }])
        {
            throw new GeneratorException(tag.Location, $"handle {name}: expected only uint64_t id in it");
        }

        return new StructType(name, fields, isHandle, Documented(tag));
    }

    private Field ReadField(AstNode node)
    {
        if (node.Flag("isBitfield"))
        {
            throw new GeneratorException(node.Location, $"bit-field {node.Name}: its layout is the compiler's choice");
        }

        CType type = _types.Read(node.Type, node.Location);
        if (type.Pointers > 0)
        {
            throw NoCounterpart(node, $"pointer {node.Name} in a struct");
        }

        return new Field(node.Name, type, Documented(node));
    }

    private Function ReadFunction(AstNode node)
    {
        if (node.Flag("variadic"))
        {
            throw new GeneratorException(node.Location, $"{node.Name} is variadic");
        }

        Doc doc = Documented(node);
        List<Parameter> parameters = node.ChildrenOf("ParmVarDecl")
            .Select(parameter => ReadParameter(parameter, doc))
            .ToList();
        string result = node.Type[..node.Type.IndexOf('(', StringComparison.Ordinal)].TrimEnd();
        return new Function(node.Name, _types.Read(result, node.Location), parameters, doc, node.Location);
    }

    private Parameter ReadParameter(AstNode node, Doc doc)
    {
        if (node.Name.Length == 0)
        {
            throw new GeneratorException(node.Location, $"a parameter of type {node.Type} has no name");
        }

        CType type = _types.Read(node.Type, node.Location);
        ParameterDoc? says = doc.Parameters.FirstOrDefault(parameter => parameter.Name == node.Name);
        if (type.Pointers > 0 && says is null)
        {
            throw new GeneratorException(node.Location, $"pointer {node.Name} is not documented; expected a @param");
        }

        return new Parameter(node.Name, type, says);
    }

    private static GeneratorException NoCounterpart(AstNode node, string what) =>
        new(node.Location, $"{what} has no counterpart in the bindings");

    private static Doc Documented(AstNode node) =>
        DocReader.Read(node) ?? throw new GeneratorException(node.Location, $"{node.Name} is not documented");
}
