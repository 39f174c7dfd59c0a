// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

internal sealed class AutocastTests : TensorFixture
{
    [Test]
    public void Enable_NestsAndRestores()
    {
        using (Autocast.Enable(DType.BFloat16))
        {
            using (Autocast.Enable(DType.Float16))
            {
                Assert.That(Autocast.Current, Is.EqualTo(DType.Float16));
                using (Autocast.Enable(DType.Float16, enabled: false))
                {
                    Assert.That(Autocast.Current, Is.Null);
                }
            }

            Assert.That(Autocast.Current, Is.EqualTo(DType.BFloat16));
        }

        Assert.That(Autocast.Current, Is.Null);
    }

    [Test]
    public void Enable_IsRestoredAfterAnException()
    {
        Assert.That(Throwing, Throws.InvalidOperationException);
        Assert.That(Autocast.Current, Is.Null);

        static void Throwing()
        {
            using var autocast = Autocast.Enable(DType.Float16);
            throw new InvalidOperationException();
        }
    }

    [Test]
    public async Task Enable_FlowsWithAsyncCodeAndStaysOutOfOthers()
    {
        using (Autocast.Enable(DType.BFloat16))
        {
            await Task.Yield();
            Assert.That(Autocast.Current, Is.EqualTo(DType.BFloat16));
            Task other;
            using (ExecutionContext.SuppressFlow())
            {
                other = Task.Run(() => Assert.That(Autocast.Current, Is.Null));
            }

            await other;
        }
    }

    [TestCase(DType.Float32)]
    [TestCase(DType.Float64)]
    [TestCase(DType.Int32)]
    public void Enable_OfADTypeThatIsNoHalf_IsRefused(DType dtype) => Assert.That(
        () => Autocast.Enable(dtype), Throws.ArgumentException.With.Message.Contains("f16 or bf16").And.Message.Contains(dtype.ShortName()));

    [Test]
    public void F64_IsNeverCast()
    {
        using var autocast = Autocast.Enable(DType.BFloat16);
        var (x, w) = (Tensor.Zeros([2, 3], DType.Float64), Tensor.Zeros([4, 3], DType.Float64));
        Assert.That(x.Linear(w).DType, Is.EqualTo(DType.Float64));
    }

    [Test]
    public void Disabled_DoesNotCastHalvesBack()
    {
        using var autocast = Autocast.Enable(DType.BFloat16, enabled: false);
        var (x, w) = (Tensor.Zeros([2, 3], DType.BFloat16), Tensor.Zeros([4, 3], DType.BFloat16));
        Assert.That(x.Linear(w).DType, Is.EqualTo(DType.BFloat16));
    }

    [Test]
    public void Parameter_UnderAutocast_IsCastOnceUntilItChanges()
    {
        var layer = new Linear(2, 2);
        var copy = layer.Weight.LowPrecisionCopy(DType.BFloat16);
        int version = copy.Version;
        Assert.That(layer.Weight.LowPrecisionCopy(DType.BFloat16).Version, Is.EqualTo(version), "nothing changed");
        layer.Weight.Fill(3);
        Assert.That(Values(layer.Weight.LowPrecisionCopy(DType.BFloat16)), Is.All.EqualTo(3.0));
    }

    [Test]
    public void Parameter_UsedInTwoHalves_KeepsBothForTheBackwardPass()
    {
        using var layer = new Linear(3, 2);
        var x = Tensor.Full([1, 3], 1);
        Tensor bfloat, half;
        using (Autocast.Enable(DType.BFloat16))
        {
            bfloat = layer.Forward(x).To(DType.Float32);
        }

        using (Autocast.Enable(DType.Float16))
        {
            half = layer.Forward(x).To(DType.Float32);
        }

        (bfloat + half).Sum().Backward();
        Assert.That(layer.Weight.Grad!.ToArray<float>(), Is.All.EqualTo(2f));
    }

    [Test]
    public void Parameter_SteppedByAdam_HasAnExactCopyWithoutACast()
    {
        var layer = new Linear(17, 5);
        var adam = new Adam(layer.Parameters(), lr: 0.01);
        var copy = layer.Weight.LowPrecisionCopy(DType.BFloat16);
        for (int i = 0; i < 3; i++)
        {
            layer.Forward(Tensor.Uniform([4, 17])).Sum().Backward();
            adam.Step();
        }

        // The copy as Adam wrote it, before anything could have cast anew.
        double[] written = Values(copy);
        Assert.That(written, Is.EqualTo(Values(layer.Weight.Detach().To(DType.BFloat16))));
    }
}
