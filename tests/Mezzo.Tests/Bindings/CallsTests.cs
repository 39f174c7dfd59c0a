// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Mezzo.Native;

namespace Mezzo.Tests.Bindings;

public sealed class CallsTests
{
    private static readonly Type[] Descriptors = typeof(Calls).Assembly.GetTypes()
        .Where(type => type.IsValueType && type.GetField(nameof(MezzoLinearDesc.StructSize)) is not null)
        .ToArray();

    [Test]
    public void FailedCall_Throws_WithTheStatusAndTheLibrarysText()
    {
        MezzoException exception = Assert.Throws<MezzoException>(
            () => Calls.TensorDescribe(new MezzoTensor(ulong.MaxValue)))!;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(exception.Status, Is.EqualTo(MezzoStatus.InvalidHandle));
            Assert.That(exception.Message, Does.StartWith("tensor_describe: "));
            Assert.That(exception.Message, Is.EqualTo(Calls.LastError()));
        }
    }

    [Test]
    public void AbiCheck_OfAnotherVersion_Throws()
    {
        MezzoException exception = Assert.Throws<MezzoException>(() => Calls.AbiCheck(Constants.AbiVersion + 1))!;

        Assert.That(exception.Status, Is.EqualTo(MezzoStatus.AbiMismatch));
        Assert.That(() => Calls.AbiCheck(Constants.AbiVersion), Throws.Nothing);
    }

    [Test]
    public void Strings_AreReadFromTheLibrary()
    {
        string version = $"{Constants.VersionMajor}.{Constants.VersionMinor}.{Constants.VersionPatch}";

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.Version(), Is.EqualTo(version));
            Assert.That(Calls.StatusText(MezzoStatus.Ok), Is.EqualTo("success"));
            Assert.That(Calls.DeviceName(default), Is.Not.Empty);
            Assert.That(Calls.DeviceMissingReason(MezzoDeviceType.Cpu), Is.Empty);
        }
    }

    [Test]
    public void Spans_CarryShapesAndElements()
    {
        MezzoTensor tensor = Calls.TensorCreate(default, MezzoDType.F32, [2, 3]);
        try
        {
            float[] values = [1, 2, 3, 4, 5, 6];
            Calls.TensorWrite<float>(tensor, values);
            float[] copy = new float[values.Length];
            Calls.TensorRead<float>(copy, tensor);
            MezzoTensorInfo info = Calls.TensorDescribe(tensor);

            using (Assert.EnterMultipleScope())
            {
                Assert.That(copy, Is.EqualTo(values));
                Assert.That(info.Rank, Is.EqualTo(2));
                Assert.That(info.Bytes, Is.EqualTo(24));
                Assert.That(info.Shape[..3].ToArray(), Is.EqualTo(new long[] { 2, 3, 0 }));
            }
        }
        finally
        {
            Calls.TensorDestroy(tensor);
        }
    }

    [Test]
    public void EmptyShape_MakesAScalar()
    {
        MezzoTensor scalar = Calls.TensorCreate(default, MezzoDType.F64, []);

        MezzoTensorInfo info = Calls.TensorDescribe(scalar);
        Calls.TensorDestroy(scalar);

        Assert.That((info.Rank, info.Elements), Is.EqualTo((0, 1L)));
    }

    [Test]
    public void Lists_OfDifferentLengths_AreRefusedByName()
    {
        MezzoTensor[] one = [default];
        MezzoTensor[] two = [default, default];

        ArgumentException exception = Assert.Throws<ArgumentException>(
            () => Calls.AdamStep(two, two, one, [], two, default))!;

        Assert.That(exception.Message, Does.StartWith("expAvgSqs has 1 elements, expected 2 as in params."));
    }

    [Test]
    public void OptionalList_OfAnotherLength_IsRefusedUnlessEmpty()
    {
        MezzoTensor[] one = [default];
        MezzoTensor[] two = [default, default];

        ArgumentException exception = Assert.Throws<ArgumentException>(
            () => Calls.AdamStep(two, two, two, one, two, default))!;

        Assert.That(exception.Message, Does.StartWith("paramCopies has 1 elements, expected 2 as in params."));
    }

    [TestCaseSource(nameof(Descriptors))]
    public void NewDescriptor_StatesItsOwnSize(Type type)
    {
        object descriptor = Activator.CreateInstance(type)!;

        object size = type.GetField(nameof(MezzoLinearDesc.StructSize))!.GetValue(descriptor)!;

        object expected = typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;
        Assert.That(size, Is.EqualTo(expected).And.GreaterThan(0));
    }
}
