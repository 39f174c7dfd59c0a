// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.CommandLine;

public sealed class ByteSizeTests
{
    [TestCase("1", 1)]
    [TestCase("123456", 123456)]
    [TestCase("12B", 12)]
    [TestCase("500KB", 500_000)]
    [TestCase("64MB", 64_000_000)]
    [TestCase("64mb", 64_000_000)]
    [TestCase("1.5GB", 1_500_000_000)]
    [TestCase(".5TB", 500_000_000_000)]
    [TestCase("1KiB", 1024)]
    [TestCase("64MiB", 67_108_864)]
    [TestCase("0.25GiB", 268_435_456)]
    [TestCase("2TiB", 2_199_023_255_552)]
    [TestCase("9223372036854775807", long.MaxValue)]
    public void Size_IsRead(string text, long bytes) =>
        Assert.That((ByteSize.TryParse(text, out long read), read), Is.EqualTo((true, bytes)));

    [TestCase("")]
    [TestCase("MB")]
    [TestCase("0")]
    [TestCase("0.1B")]
    [TestCase("-1MB")]
    [TestCase("64 MB")]
    [TestCase("1e6")]
    [TestCase("1,5GB")]
    [TestCase("64M")]
    [TestCase("NaN")]
    [TestCase("9223372036854775808")]
    [TestCase("9999999999TB")]
    public void OtherText_IsRefused(string text) => Assert.That(ByteSize.TryParse(text, out _), Is.False);

    [TestCase(999, "999B")]
    [TestCase(1000, "1KB")]
    [TestCase(34_850_001, "34.9MB")]
    [TestCase(64_000_000, "64MB")]
    [TestCase(64_000_001, "64.1MB")]
    [TestCase(1_500_000_000, "1.5GB")]
    public void RoundedUp_CanBeTyped_AndIsNoSmaller(long bytes, string text)
    {
        Assert.That(ByteSize.RoundedUp(bytes), Is.EqualTo(text));
        Assert.That(ByteSize.TryParse(text, out long read));
        Assert.That(read, Is.GreaterThanOrEqualTo(bytes));
    }
}
