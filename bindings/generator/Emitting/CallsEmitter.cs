// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Emits the <c>Calls</c> layer: spans, results and exceptions instead of pointers and status codes.</summary>
internal static class CallsEmitter
{
    public static void Calls(CodeWriter code, Header header)
    {
        code.Line("/// <summary>The functions of the header with spans, results and exceptions.</summary>");
        using (code.Braces("internal static unsafe partial class Calls"))
        {
            bool isFirst = true;
            foreach (Function function in header.Functions)
            {
                if (!isFirst)
                {
                    code.Line();
                }

                isFirst = false;
                Call(code, CallPlan.Of(function, header));
            }
        }
    }

    private static void Call(CodeWriter code, CallPlan plan)
    {
        Function function = plan.Function;
        Documentation(code, plan);
        string parameters = string.Join(", ", plan.Arguments.Select(Declaration).OfType<string>());
        string name = Names.Function(function.Name) + TypeParameter(plan);
        using (code.Braces($"public static {ResultType(plan)} {name}({parameters}){Constraint(plan)}"))
        {
            Lengths(code, plan);
            foreach (DescriptorArgument argument in plan.Arguments.OfType<DescriptorArgument>().Where(argument => argument.IsOptional))
            {
                Parameter desc = argument.Parameter;
                string value = $"{Names.Parameter(desc.Name)}.GetValueOrDefault()";
                code.Line($"{Names.Type(desc.Type.Name)} {Local(argument)} = {value};");
            }

            if (plan.Result is { } result)
            {
                code.Line($"{Pointee(result)} {Local(result)};");
            }

            SpanArgument[] spans = plan.Arguments.OfType<SpanArgument>().ToArray();
            foreach (SpanArgument span in spans[..Math.Max(0, spans.Length - 1)])
            {
                code.Line(Pin(span));
            }

            if (spans.Length > 0)
            {
                using (code.Braces(Pin(spans[^1])))
                {
                    Invocation(code, plan);
                }
            }
            else
            {
                Invocation(code, plan);
            }

            if (plan.Result is { } returned)
            {
                bool isString = returned.Parameter.Type is { Name: "char", Pointers: 2 };
                code.Line($"return {(isString ? $"Text({Local(returned)})" : Local(returned))};");
            }
        }
    }

    private static void Documentation(CodeWriter code, CallPlan plan)
    {
        Doc doc = plan.Function.Doc;
        XmlDoc.Write(code, doc);
        if (TypeParameter(plan).Length > 0)
        {
            code.Line("/// <typeparam name=\"T\">The elements' type on the host.</typeparam>");
        }

        foreach (Argument argument in plan.Arguments.Where(argument => Declaration(argument) is not null))
        {
            if (argument.Parameter.Doc is { } says)
            {
                XmlDoc.Parameter(code, Names.Parameter(says.Name), says.Text);
            }
        }

        if (plan.Result?.Parameter.Doc is { } result)
        {
            XmlDoc.Returns(code, result.Text);
        }

        if (!plan.Function.Result.IsString)
        {
            XmlDoc.Throws(code, doc.Returns);
        }
    }

    private static void Lengths(CodeWriter code, CallPlan plan)
    {
        foreach (LengthArgument length in plan.Arguments.OfType<LengthArgument>())
        {
            SpanArgument[] spans = SpansOf(length, plan);
            SpanArgument first = spans.FirstOrDefault(span => !span.IsOptional)
                ?? throw new GeneratorException(plan.Function.Location,
                    $"{plan.Function.Name}: every array of length {length.Parameter.Name} may be absent");
            string name = Names.Parameter(first.Parameter.Name);
            foreach (SpanArgument other in spans.Where(span => span != first))
            {
                string method = other.IsOptional ? "ExpectLengthOrEmpty" : "ExpectLength";
                string otherName = Names.Parameter(other.Parameter.Name);
                code.Line($"{method}({otherName}.Length, nameof({otherName}), {name}.Length, nameof({name}));");
            }
        }
    }

    private static void Invocation(CodeWriter code, CallPlan plan)
    {
        string call = $"NativeMethods.{plan.Function.Name}("
            + string.Join(", ", plan.Arguments.Select(argument => Passed(argument, plan))) + ")";
        code.Line(plan.Function.Result.IsString ? $"return Text({call});" : $"Check({call});");
    }

    private static string? Declaration(Argument argument)
    {
        string name = Names.Parameter(argument.Parameter.Name);
        CType type = argument.Parameter.Type;
        return argument switch
        {
            ValueArgument => $"{Names.CSharp(type)} {name}",
            SpanArgument span => $"{(type.IsConst ? "ReadOnlySpan" : "Span")}<{Element(span)}> {name}",
            DescriptorArgument { IsOptional: true } => $"{Names.Type(type.Name)}? {name} = null",
            DescriptorArgument => $"{Names.Type(type.Name)} {name}",
            _ => null,
        };
    }

    private static string Passed(Argument argument, CallPlan plan) => argument switch
    {
        ValueArgument => Names.Parameter(argument.Parameter.Name),
        ResultArgument => "&" + Local(argument),
        DescriptorArgument { IsOptional: false } => "&" + Names.Parameter(argument.Parameter.Name),
        DescriptorArgument => $"{Names.Parameter(argument.Parameter.Name)}.HasValue ? &{Local(argument)} : null",
        SpanArgument => Local(argument),
        LengthArgument length => LengthOf(SpansOf(length, plan).First(span => !span.IsOptional)),
        _ => throw new InvalidOperationException($"No way to pass a {argument.GetType().Name}."),
    };

    private static SpanArgument[] SpansOf(LengthArgument length, CallPlan plan) =>
        plan.Arguments.OfType<SpanArgument>().Where(span => span.Length == length.Parameter).ToArray();

    private static string LengthOf(SpanArgument span)
    {
        string length = $"{Names.Parameter(span.Parameter.Name)}.Length";
        return span.InBytes ? $"(long){length} * sizeof({Element(span)})" : length;
    }

    private static string Pin(SpanArgument span) =>
        $"fixed ({Element(span)}* {Local(span)} = {Names.Parameter(span.Parameter.Name)})";

    private static string Element(SpanArgument span) =>
        span.InBytes ? "T" : Names.CSharp(span.Parameter.Type with { Pointers = 0 });

    private static string Pointee(Argument argument) =>
        Names.CSharp(argument.Parameter.Type with { Pointers = argument.Parameter.Type.Pointers - 1 });

    private static string Local(Argument argument) => Names.Variable(argument.Parameter.Name) + argument switch
    {
        SpanArgument => "Pointer",
        _ => "Value",
    };

    private static string ResultType(CallPlan plan) => plan switch
    {
        { Function.Result.IsString: true } or { Result.Parameter.Type: { Name: "char", Pointers: 2 } } => "string",
        { Result: { } result } => Pointee(result),
        _ => "void",
    };

    private static string TypeParameter(CallPlan plan) =>
        plan.Arguments.OfType<SpanArgument>().Any(span => span.InBytes) ? "<T>" : "";

    private static string Constraint(CallPlan plan) => TypeParameter(plan).Length > 0 ? " where T : unmanaged" : "";
}
