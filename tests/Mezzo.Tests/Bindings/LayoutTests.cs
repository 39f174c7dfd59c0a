// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mezzo.Bindings.Generator.Emitting;
using Mezzo.Bindings.Generator.Model;
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Bindings;

/// <summary>Asks the C compiler and the runtime the same questions about the headers' types.</summary>
public sealed class LayoutTests
{
    private const string Prologue = """
        #include <mezzo/mezzo.h>
        #include <mezzo/ops.h>
        #include <stddef.h>
        #include <stdio.h>
        #define STRUCT(type) printf(#type ": %zu bytes\n", sizeof(type));
        #define FIELD(type, field) \
            printf(#type "." #field " at %zu, %zu bytes\n", offsetof(type, field), sizeof(((type *)0)->field));
        #define MEMBER(type, member) printf(#member " = %lld, %zu bytes\n", (long long)member, sizeof(type));
        int main(void) {

        """;

    [Test]
    public void Structs_HaveTheSizesAndOffsetsOfC()
    {
        Header header = BindingsEnvironment.Sources().Read();
        string[] fromC = PrintedByC(header.Structs.SelectMany(type => type.Fields
            .Select(field => $"FIELD({type.Name}, {field.Name})")
            .Append($"STRUCT({type.Name})")));

        IEnumerable<string> fromManaged = header.Structs.SelectMany(type => type.Fields
            .Select(field => Managed(type, field))
            .Append($"{type.Name}: {SizeOf(ManagedType(type.Name))} bytes"));

        Assert.That(fromManaged, Is.EqualTo(fromC));
        Assert.That(fromC, Is.Not.Empty);
    }

    [Test]
    public void Enums_HaveTheValuesAndSizesOfC()
    {
        Header header = BindingsEnvironment.Sources().Read();
        string[] fromC = PrintedByC(header.Enums.SelectMany(type => type.Members
            .Select(member => $"MEMBER({type.Name}, {member.Name})")));

        IEnumerable<string> fromManaged = header.Enums.SelectMany(type => type.Members
            .Select(member => Managed(type, member)));

        Assert.That(fromManaged, Is.EqualTo(fromC));
        Assert.That(fromC, Is.Not.Empty);
    }

    private static string[] PrintedByC(IEnumerable<string> statements)
    {
        string source = Prologue + string.Join('\n', statements) + "\nreturn 0;\n}\n";
        using var folder = new TemporaryFolder();
        string program = folder.File("layout");
        BindingsEnvironment.Compile(source, program, "-I", BindingsEnvironment.IncludeFolder);
        return BindingsEnvironment.Run(program).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static string Managed(StructType type, Field field)
    {
        string name = Names.Field(field.Name);
        FieldInfo managed = ManagedType(type.Name)
            .GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            .Single(candidate => candidate.Name == (type.IsHandle ? $"<{name}>k__BackingField" : name));
        nint offset = Marshal.OffsetOf(ManagedType(type.Name), managed.Name);
        return $"{type.Name}.{field.Name} at {offset}, {SizeOf(managed.FieldType)} bytes";
    }

    private static string Managed(EnumType type, EnumMember member)
    {
        Type managed = ManagedType(type.Name);
        object value = Enum.Parse(managed, Names.EnumMember(type.Name, member.Name));
        long number = Convert.ToInt64(value, CultureInfo.InvariantCulture);
        return $"{member.Name} = {number}, {SizeOf(managed)} bytes";
    }

    private static Type ManagedType(string name)
    {
        Assembly assembly = typeof(Calls).Assembly;
        string managed = Names.Type(name);
        return assembly.GetType("Mezzo.Native." + managed) ?? assembly.GetType("Mezzo." + managed, throwOnError: true)!;
    }

    private static object SizeOf(Type type) =>
        typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;
}
