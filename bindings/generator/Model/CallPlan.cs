// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;

namespace Mezzo.Bindings.Generator.Model;

/// <summary>How one parameter of the ABI looks in the <c>Calls</c> layer.</summary>
internal abstract record Argument(Parameter Parameter);

/// <summary>Passed through as it is.</summary>
internal sealed record ValueArgument(Parameter Parameter) : Argument(Parameter);

/// <summary>A single out value: the result of the call.</summary>
internal sealed record ResultArgument(Parameter Parameter) : Argument(Parameter);

/// <summary>A descriptor.</summary>
/// <param name="IsOptional">Whether null stands for defaults.</param>
internal sealed record DescriptorArgument(Parameter Parameter, bool IsOptional) : Argument(Parameter);

/// <summary>An array with its length in another parameter: a span.</summary>
/// <param name="Length">The parameter that holds the length.</param>
/// <param name="InBytes">Whether the length counts bytes, so that the elements may be of any type.</param>
/// <param name="IsOptional">Whether the array may be absent, whatever the length.</param>
internal sealed record SpanArgument(Parameter Parameter, Parameter Length, bool InBytes, bool IsOptional)
    : Argument(Parameter);

/// <summary>The length of arrays, taken from their spans.</summary>
internal sealed record LengthArgument(Parameter Parameter) : Argument(Parameter);

/// <summary>
/// Decides from types and documentation how a function looks in the <c>Calls</c> layer, by the header's
/// conventions: <c>@param[out]</c> on a pointer is the result; the comment of an array starts with the name
/// of its length ("count tensors"); that of a length in bytes says "size of" and the array's name; a
/// descriptor says what "null stands for", or that it "must be given". A pointer that follows none of these is refused.
/// </summary>
internal sealed partial record CallPlan(Function Function, IReadOnlyList<Argument> Arguments)
{
    public ResultArgument? Result => Arguments.OfType<ResultArgument>().SingleOrDefault();

    public static CallPlan Of(Function function, Header header)
    {
        if (!function.Result.IsString && function.Result is not { Name: "mezzo_status", Pointers: 0 })
        {
            throw Refusal(function, "returns neither mezzo_status nor const char *");
        }

        List<Argument> pointers = function.Parameters
            .Where(parameter => parameter.Type.Pointers > 0)
            .Select(parameter => Pointer(parameter, function, header))
            .ToList();
        HashSet<Parameter> lengths = pointers.OfType<SpanArgument>().Select(span => span.Length).ToHashSet();
        List<Argument> arguments = function.Parameters
            .Select(parameter => pointers.Find(pointer => pointer.Parameter == parameter)
                ?? (lengths.Contains(parameter) ? new LengthArgument(parameter) : new ValueArgument(parameter)))
            .ToList();
        return arguments.OfType<ResultArgument>().Count() <= 1
            ? new CallPlan(function, arguments)
            : throw Refusal(function, "has more than one single out value");
    }

    private static Argument Pointer(Parameter parameter, Function function, Header header)
    {
        CType type = parameter.Type;
        ParameterDoc doc = parameter.Doc!;
        if (SizeInBytes(parameter, function) is { } bytes)
        {
            return new SpanArgument(parameter, bytes, InBytes: true, IsOptional: false);
        }

        string first = FirstWord().Match(doc.Text).Value;
        if (function.Parameters.FirstOrDefault(other => other.Name == first && IsLength(other.Type)) is { } length)
        {
            return new SpanArgument(parameter, length, InBytes: false, MayBeAbsent().IsMatch(doc.Text));
        }

        bool isConstant = type is { IsConst: true, Pointers: 1 };
        bool isDescriptor = isConstant && header.FindStruct(type.Name) is { IsDescriptor: true };
        bool isOptional = doc.Text.StartsWith("null stands for", StringComparison.Ordinal);
        if (isDescriptor && (isOptional || doc.Text.Contains("must be given", StringComparison.Ordinal)))
        {
            return new DescriptorArgument(parameter, isOptional);
        }

        bool isSingle = type is { Pointers: 1, IsConst: false, Name: not "void" } or { Pointers: 2, Name: "char" };
        return doc.IsOut && isSingle
            ? new ResultArgument(parameter)
            : throw Refusal(function, $"does not say how pointer {parameter.Name} is used: expected @param[out] for "
                + "a single value, a comment that starts with the name of the length for an array, "
                + $"\"size of {parameter.Name}\" at the length in bytes, or \"null stands for\" or \"must be given\" at a descriptor");
    }

    private static bool IsLength(CType type) => type is { Name: "int32_t" or "int64_t", Pointers: 0 };

    private static Parameter? SizeInBytes(Parameter pointer, Function function) =>
        pointer.Type is { Name: "void", Pointers: 1 }
            ? function.Parameters.FirstOrDefault(other => IsLength(other.Type) && SizedArray(other) == pointer.Name)
            : null;

    private static string SizedArray(Parameter length) =>
        SizeOf().Match(length.Doc?.Text ?? "").Groups["array"].Value;

    private static GeneratorException Refusal(Function function, string reason) =>
        new(function.Location, $"{function.Name} {reason}");

    [GeneratedRegex(@"^\w+")]
    private static partial Regex FirstWord();

    [GeneratedRegex(@"^size of (?<array>\w+)\b")]
    private static partial Regex SizeOf();

    [GeneratedRegex(@"\bmay be null\b(?! when)")]
    private static partial Regex MayBeAbsent();
}
