// SPDX-License-Identifier: MIT
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Tests.Report;

public sealed class FormatTests
{
    [TestCase(0, "0.0 µs")]
    [TestCase(41.3e-6, "41.3 µs")]
    [TestCase(1e-3, "1.0 ms")]
    [TestCase(0.9, "900.0 ms")]
    [TestCase(1.51, "1.51 s")]
    public void Duration_HasTheUnitThatShowsIt(double seconds, string expected) => Assert.That(Format.Duration(seconds), Is.EqualTo(expected));

    [TestCase(0, "0.0%")]
    [TestCase(0.2449, "24.5%")]
    [TestCase(7.457, "745.7%")]
    public void Percent_StandsWithoutASpace_AsInSentences(double fraction, string expected) => Assert.That(Format.Percent(fraction), Is.EqualTo(expected));
}
