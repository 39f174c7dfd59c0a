// SPDX-License-Identifier: MIT
using System.Reflection;
using System.Text.RegularExpressions;
using Mezzo.Autograd;

namespace Mezzo.Tests.Conventions;

/// <summary>One op, one word, every tree: what a newcomer may rely on when looking for an op.</summary>
internal sealed class OpConventionTests
{
    private static readonly string Root = typeof(OpConventionTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == "RepositoryRoot").Value!;

    private static IEnumerable<Type> Operations =>
        typeof(Operation).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Operation)) && !type.IsAbstract);

    /// <summary>Names of the ops in ops.h: the titles of its sections.</summary>
    private static IEnumerable<string> NativeOps =>
        Regex.Matches(File.ReadAllText(Path.Combine(Root, "native/include/mezzo/ops.h")), @"-{80,}\n \* ([a-z_]+)(?: and ([a-z_]+))?:")
            .SelectMany(match => match.Groups.Values.Skip(1).Where(group => group.Success).Select(group => group.Value));

    [TestCaseSource(nameof(Operations))]
    public void Operation_HasAFileAndATestOfItsName(Type operation)
    {
        string word = operation.Name[..^nameof(Operation).Length];
        Assert.Multiple(() =>
        {
            Assert.That(Path.Combine(Root, "managed/Mezzo/Ops", word + ".cs"), Does.Exist);
            Assert.That(Path.Combine(Root, "tests/Mezzo.Tests/Ops", word + "Tests.cs"), Does.Exist);
        });
    }

    [TestCaseSource(nameof(Operations))]
    public void Operation_ThatIsGivenMoreThanInputs_DescribesItToACapture(Type operation)
    {
        bool isGivenMore = Array.Exists(operation.GetConstructors(), constructor => constructor.GetParameters().Length > 0);
        var describe = operation.GetMethod(nameof(Operation.Describe), BindingFlags.Instance | BindingFlags.NonPublic)!;
        Assert.That(describe.DeclaringType == operation, Is.EqualTo(isGivenMore));
    }

    [TestCaseSource(nameof(NativeOps))]
    public void NativeOp_HasASourceAndATestOfItsName(string op)
    {
        Assert.Multiple(() =>
        {
            Assert.That(Path.Combine(Root, "native/src/ops", op + ".cpp"), Does.Exist);
            Assert.That(
                Directory.GetFiles(Path.Combine(Root, "tests/native/ops"), op + "_*test.cpp"), Is.Not.Empty, $"a native test of {op}");
        });
    }

    [Test]
    public void NativeOps_AreFound() => Assert.That(NativeOps.ToArray(), Has.Length.GreaterThanOrEqualTo(13));
}
