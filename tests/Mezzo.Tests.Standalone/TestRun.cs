// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Xml;
using NUnit;
using NUnit.Framework.Api;
using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

namespace Mezzo.Tests.Standalone;

/// <summary>One run of the tests: each is printed as it comes, in GoogleTest's manner, a summary at the end.</summary>
internal sealed class TestRun(Options options) : ITestListener
{
    private const string TestAssembly = "Mezzo.Tests";

    /// <summary>Whether tests ran and none failed.</summary>
    public bool Execute()
    {
        var runner = new NUnitTestAssemblyRunner(new DefaultTestAssemblyBuilder());
        runner.Load(
            System.Reflection.Assembly.Load(TestAssembly),
            new Dictionary<string, object> { [FrameworkPackageSettings.NumberOfTestWorkers] = 0 });
        var result = runner.Run(this, new Choice(options));
        Write(result);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{result.PassCount} passed, {result.FailCount} failed, {result.SkipCount} skipped in {result.Duration:F1} s"));
        return result.ResultState.Status != TestStatus.Failed && result.PassCount > 0;
    }

    public void TestStarted(ITest test)
    {
        if (!test.IsSuite)
        {
            Console.WriteLine($"[ RUN      ] {test.FullName}");
        }
    }

    public void TestFinished(ITestResult result)
    {
        bool broken = result.ResultState.Status == TestStatus.Failed && result.ResultState.Site != FailureSite.Child;
        if (broken && !(result.Test.IsSuite && result.ResultState.Site == FailureSite.Parent))
        {
            Console.WriteLine($"FAILED {result.FullName}\n{result.Message}\n{result.StackTrace}");
        }

        if (!result.Test.IsSuite)
        {
            string outcome = result.ResultState.Status switch
            {
                TestStatus.Failed => "  FAILED  ",
                TestStatus.Skipped or TestStatus.Inconclusive => "  SKIPPED ",
                _ => "       OK ",
            };
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"[{outcome}] {result.FullName} ({result.Duration * 1e3:F0} ms)"));
        }
    }

    public void TestOutput(TestOutput output)
    {
    }

    public void SendMessage(TestMessage message)
    {
    }

    private void Write(ITestResult result)
    {
        if (options.Results is not { } file)
        {
            return;
        }

        using var xml = XmlWriter.Create(file, new XmlWriterSettings { Indent = true });
        xml.WriteStartElement("test-run");
        xml.WriteAttributeString("result", result.ResultState.Status.ToString());
        result.ToXml(recursive: true).WriteTo(xml);
        xml.WriteEndElement();
    }

    /// <summary>Chooses tests by their full name and category, which may be that of a class.</summary>
    private sealed class Choice(Options options) : TestFilter
    {
        public override bool Match(ITest test) =>
            !test.IsSuite && options.Only.IsMatch(test.FullName) && !options.Except.IsMatch(test.FullName) && !IsLeftOut(test);

        public override TNode AddToXml(TNode parentNode, bool recursive) => parentNode.AddElement("name");

        private bool IsLeftOut(ITest? test) => options.Without is { } category && test is not null
            && (test.Properties[PropertyNames.Category].Contains(category) || IsLeftOut(test.Parent));
    }
}
