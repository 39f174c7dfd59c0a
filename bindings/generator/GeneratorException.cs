// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator;

/// <summary>The header, or what surrounds it, cannot be turned into bindings; the message says where and why.</summary>
internal sealed class GeneratorException : Exception
{
    public GeneratorException(string message) : base(message)
    {
    }

    public GeneratorException(SourceLocation location, string message) : base($"{location}: {message}")
    {
    }
}
