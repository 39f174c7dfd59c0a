// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Tensors;

internal sealed class DeviceTests : TensorFixture
{
    private static readonly Dictionary<DeviceType, DType> FastHalves = new()
    {
        [DeviceType.Cpu] = DType.BFloat16,
        [DeviceType.Cuda] = DType.Float16,
    };

    private static IEnumerable<Device> Available =>
        from type in Enum.GetValues<DeviceType>()
        from index in Enumerable.Range(0, Device.Count(type))
        select new Device(type, index);

    /// <summary>Devices besides the one under test; none on a machine that has only one.</summary>
    private static IEnumerable<Device> Others => Available.Where(device => device != TestDevice.Current);

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

    [TestCaseSource(nameof(Available))]
    public void AvailableDevice_SaysItsNameAndItsFastHalf(Device device)
    {
        Assert.Multiple(() =>
        {
            Assert.That(device.IsAvailable, Is.True);
            Assert.That(device.Name, Is.Not.Empty);
            Assert.That(device.FastHalf, Is.EqualTo(FastHalves[device.Type]));
            Assert.That(Device.MissingReason(device.Type), Is.Empty);
        });
    }

    [Test]
    public void Cpu_IsAlwaysThere() => Assert.That(Available, Has.Member(Device.Cpu));

    [Test]
    public void Cuda_WhenMissing_SaysWhy() =>
        Assert.That(Device.Count(DeviceType.Cuda) > 0, Is.EqualTo(Device.MissingReason(DeviceType.Cuda).Length == 0));

    [Test]
    public void MissingDevice_IsRefusedWithItsOrdinalAndTheReason()
    {
        int count = Device.Count(DeviceType.Cuda);
        string reason = count == 0 ? Device.MissingReason(DeviceType.Cuda) : $"indices of this kind go from 0 to {count - 1}";
        Assert.That(
            () => Device.Cuda(77).Memory,
            Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DeviceUnavailable)
                .And.Message.Contains($"there is no device cuda:77: {reason}"));
    }

    [Test]
    public void Default_IsWhereThingsAreMadeThatNameNoDevice()
    {
        using var layer = new Linear(2, 3);
        Tensor[] made =
        [
            Tensor.Create([1f], [1]), Tensor.Scalar(1.0), Tensor.Full([1], 2), Tensor.Zeros([1]), Tensor.Uniform([1]), Tensor.Normal([1]),
            new Parameter([1]), layer.Weight, layer.Bias!,
        ];
        Assert.That(made.Select(tensor => tensor.Device), Is.All.EqualTo(TestDevice.Current));
        Assert.That(() => new GradScaler().Scale(made[0]), Throws.Nothing);
        Assert.That(() => new GradScaler(ScalerPolicy.Static(2)).Scale(made[0]), Throws.Nothing);
    }

    [Test]
    public void Default_SetToAMissingDevice_IsRefusedAndStays()
    {
        Assert.That(
            () => Device.Default = Device.Cuda(77),
            Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DeviceUnavailable)
                .And.Message.Contains("there is no device cuda:77"));
        Assert.That(Device.Default, Is.EqualTo(TestDevice.Current));
    }

    [TestCaseSource(nameof(Others))]
    public void Default_WhenSet_HoldsForOtherThreadsToo(Device other)
    {
        Device.Default = other;
        try
        {
            Assert.That(Task.Run(() => Tensor.Zeros([1]).Device).Result, Is.EqualTo(other));
        }
        finally
        {
            Device.Default = TestDevice.Current;
        }
    }

    [TestCaseSource(nameof(Others))]
    public void TensorsOfTwoDevices_InOneOp_AreRefusedByName(Device other)
    {
        var (mine, theirs) = (Tensor.Zeros([2]), Tensor.Zeros([2], device: other));
        Assert.That(
            () => mine + theirs,
            Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DeviceMismatch)
                .And.Message.Contains($" is on {other}, expected {mine.Device} as "));
    }

    [TestCaseSource(nameof(Others))]
    public void OptimizerAndScaler_OfTwoDevices_AreRefusedByName(Device other)
    {
        using var layer = new Linear(2, 2);
        using var elsewhere = new Linear(2, 2, device: other);
        Assert.That(
            () => new Adam(layer.Parameters().Concat(elsewhere.Parameters())),
            Throws.ArgumentException.With.Message.Contains($" is on {other}, expected {TestDevice.Current} as the first one"));
        var scaler = new GradScaler(device: other);
        scaler.Scale(Tensor.Scalar(1f, other));
        using var adam = new Adam(layer.Parameters());
        Assert.That(
            () => scaler.Step(adam), Throws.ArgumentException.With.Message.Contains($"are on {TestDevice.Current}, expected the scaler's device {other}"));
    }

    [TestCaseSource(nameof(Others))]
    public void CopyFrom_AnotherDevice_CarriesTheElements(Device other)
    {
        var (mine, theirs) = (Tensor.Zeros([3]), Tensor.Create([1f, 2f, 3f], [3], other));
        mine.CopyFrom(theirs);
        Assert.That(mine.ToArray<float>(), Is.EqualTo([1f, 2f, 3f]));
    }

    [Test]
    public void Allocation_BeyondTheLimit_NamesBytesAndTheLargestHolders()
    {
        // Large enough that no tensor of another test comes first.
        var holders = Enumerable.Range(0, 3).Select(_ => Tensor.Zeros([1 << 22])).ToArray();
        long used = TestDevice.Current.Memory.CurrentBytes + TestDevice.Current.Memory.GraphBytes;
        TestDevice.Current.SetMemoryLimit(used + 1000);
        try
        {
            Assert.That(
                () => Tensor.Zeros([1000]),
                Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.OutOfMemory)
                    .And.Message.Contains("4032 bytes were asked for").And.Message.Contains($"the limit is {used + 1000}")
                    .And.Message.Contains($"f32[4194304] x {holders.Length} ({holders.Length << 24} bytes)"));
        }
        finally
        {
            TestDevice.Current.SetMemoryLimit(0);
        }
    }

    [Test]
    public void Allocation_BeyondTheDevice_NamesTheBytesAskedForAndTheFreeOnes()
    {
        const long Elements = 1L << 50;
        string free = TestDevice.Current.Type == DeviceType.Cuda ? @"\d+ are free, " : "";
        Assert.That(
            () => Tensor.Zeros([Elements], DType.UInt8),
            Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.OutOfMemory)
                .And.Message.Match($"{Elements} bytes were asked for, which the device does not have; {free}"));
    }

    [Test]
    public void Threads_OutOfRange_AreRefused() => Assert.That(
        () => Runtime.Threads = 0, Throws.TypeOf<MezzoException>().With.Message.Contains("0").And.Message.Contains("1024"));
}
