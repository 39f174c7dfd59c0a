// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Tensors;

internal sealed class TensorScopeTests
{
    [Test]
    public void Scope_AtItsEnd_FreesWhatWasMadeInside()
    {
        Tensor inner;
        using (TensorScope.Begin())
        {
            inner = Tensor.Zeros([100]);
        }

        Assert.That(inner.IsDisposed, Is.True);
        Assert.That(() => inner.Sum(), Throws.TypeOf<ObjectDisposedException>().With.Message.Contains("f32[100]"));
    }

    [Test]
    public void Keep_HandsATensorToTheEnclosingScope()
    {
        Tensor kept;
        using (TensorScope.Begin())
        {
            using (TensorScope.Begin())
            {
                kept = Tensor.Zeros([1]).Keep();
            }

            Assert.That(kept.IsDisposed, Is.False);
        }

        Assert.That(kept.IsDisposed, Is.True);
    }

    [Test]
    public void Steps_OpensAScopeForEachTurn()
    {
        var made = new List<Tensor>();
        foreach (int step in TensorScope.Steps(3))
        {
            Assert.That(made.TrueForAll(tensor => tensor.IsDisposed));
            made.Add(Tensor.Full([1], step));
            if (step == 1)
            {
                break;
            }
        }

        Assert.That(made.TrueForAll(tensor => tensor.IsDisposed));
        using var outside = Tensor.Zeros([1]);
        Assert.That(outside.Scope, Is.Null, "the scope of the last turn is closed");
    }

    [Test]
    public async Task Scope_FlowsIntoAsyncCode()
    {
        Tensor made;
        using (TensorScope.Begin())
        {
            await Task.Yield();
            made = await Task.Run(() => Tensor.Zeros([1]));
        }

        Assert.That(made.IsDisposed, Is.True);
    }

    [Test]
    public void Scope_UsedByManyThreads_FreesEverything()
    {
        long before = Device.Default.Memory.CurrentBytes;
        using (TensorScope.Begin())
        {
            Parallel.For(0, 500, i => Tensor.Full([64], i).Relu());
        }

        Assert.That(Device.Default.Memory.CurrentBytes, Is.LessThanOrEqualTo(before));
    }

    [Test]
    public void Tensor_OutsideAnyScope_IsFreedWhenCollected()
    {
        long before = Device.Default.Memory.CurrentBytes;
        Make();
        for (int i = 0; i < 20 && Device.Default.Memory.CurrentBytes > before; i++)
        {
            Garbage.Collect();
        }

        Assert.That(Device.Default.Memory.CurrentBytes, Is.LessThanOrEqualTo(before));

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static void Make() => Tensor.Zeros([1 << 20]);
    }
}
