// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Tensors;

internal sealed class DeviceTests
{
    [TestCase("cpu", DeviceType.Cpu, 0)]
    [TestCase("cuda", DeviceType.Cuda, 0)]
    [TestCase("cuda:3", DeviceType.Cuda, 3)]
    public void Parse_ReadsWhatToStringWrites(string text, DeviceType type, int index)
    {
        var device = Device.Parse(text);
        Assert.That(device, Is.EqualTo(new Device(type, index)));
        Assert.That(Device.Parse(device.ToString()), Is.EqualTo(device));
    }

    [TestCase("gpu")]
    [TestCase("")]
    [TestCase("cpu:1")]
    [TestCase("cuda:")]
    [TestCase("cuda:-1")]
    [TestCase("cuda:1:2")]
    public void Parse_OfAnythingElse_SaysWhatIsExpected(string text) => Assert.That(
        () => Device.Parse(text), Throws.TypeOf<FormatException>().With.Message.Contains("expected cpu, cuda or cuda:N"));

    [Test]
    public void Cpu_IsThereAndSaysItsName()
    {
        Assert.Multiple(() =>
        {
            Assert.That(Device.Cpu.IsAvailable, Is.True);
            Assert.That(Device.Cpu.Name, Is.Not.Empty);
            Assert.That(Device.Cpu.FastHalf, Is.EqualTo(DType.BFloat16));
            Assert.That(Device.MissingReason(DeviceType.Cpu), Is.Empty);
        });
    }

    [Test]
    public void Cuda_WhenMissing_SaysWhy() =>
        Assert.That(Device.Count(DeviceType.Cuda) > 0, Is.EqualTo(Device.MissingReason(DeviceType.Cuda).Length == 0));

    [Test]
    public void Threads_OutOfRange_AreRefused() => Assert.That(
        () => Runtime.Threads = 0, Throws.TypeOf<MezzoException>().With.Message.Contains("0").And.Message.Contains("1024"));
}
