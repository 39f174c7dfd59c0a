// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>A node of clang's syntax tree, with its location resolved.</summary>
internal sealed class AstNode
{
    private readonly JsonElement _json;

    private AstNode(JsonElement json, SourceLocation location, IReadOnlyList<AstNode> children)
    {
        _json = json;
        Location = location;
        Children = children;
    }

    public SourceLocation Location { get; }

    public IReadOnlyList<AstNode> Children { get; }

    public string Kind => Text("kind");

    public string Name => Text("name");

    /// <summary>The type as it is spelled in the source.</summary>
    public string Type => _json.TryGetProperty("type", out JsonElement type)
        ? type.GetProperty("qualType").GetString()!
        : "";

    public static AstNode Read(JsonElement root) => new Reader().Node(root);

    public string Text(string property) =>
        _json.TryGetProperty(property, out JsonElement value) ? value.GetString() ?? "" : "";

    public bool Flag(string property) =>
        _json.TryGetProperty(property, out JsonElement value) && value.ValueKind == JsonValueKind.True;

    public IEnumerable<AstNode> ChildrenOf(string kind) => Children.Where(child => child.Kind == kind);

    /// <summary>
    /// Clang writes a file or a line only where it differs from the one written before, so locations are
    /// resolved by walking the document in its own order.
    /// </summary>
    private sealed class Reader
    {
        private string _file = "";
        private int _line;

        public AstNode Node(JsonElement json)
        {
            SourceLocation location = new("", 0);
            if (json.TryGetProperty("loc", out JsonElement loc) && Track(loc))
            {
                location = new SourceLocation(_file, _line);
            }

            if (json.TryGetProperty("range", out JsonElement range))
            {
                Track(range.GetProperty("begin"));
                Track(range.GetProperty("end"));
            }

            var children = new List<AstNode>();
            if (json.TryGetProperty("inner", out JsonElement inner))
            {
                children.AddRange(inner.EnumerateArray().Select(Node));
            }

            return new AstNode(json, location, children);
        }

        // A location inside a macro is written as two; the second, where the macro is used, is the one meant.
        private bool Track(JsonElement location)
        {
            if (location.TryGetProperty("spellingLoc", out JsonElement spelling))
            {
                Track(spelling);
                return Track(location.GetProperty("expansionLoc"));
            }

            if (location.TryGetProperty("file", out JsonElement file))
            {
                _file = file.GetString()!;
            }

            if (location.TryGetProperty("line", out JsonElement line))
            {
                _line = line.GetInt32();
            }

            return location.TryGetProperty("offset", out _);
        }
    }
}
