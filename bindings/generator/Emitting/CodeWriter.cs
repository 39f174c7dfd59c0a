// SPDX-License-Identifier: MIT
using System.Text;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Collects lines of C# with their indentation. Lines end in LF on every system.</summary>
internal sealed class CodeWriter
{
    private readonly StringBuilder _text = new();
    private string _indent = "";

    public void Line(string line = "") => _text.Append(line.Length == 0 ? "" : _indent + line).Append('\n');

    /// <summary>Writes a head and an opening brace; disposing the result closes it.</summary>
    public Block Braces(string head)
    {
        Line(head);
        Line("{");
        _indent += "    ";
        return new Block(this);
    }

    public override string ToString() => _text.ToString();

    internal readonly struct Block(CodeWriter writer) : IDisposable
    {
        public void Dispose()
        {
            writer._indent = writer._indent[4..];
            writer.Line("}");
        }
    }
}
