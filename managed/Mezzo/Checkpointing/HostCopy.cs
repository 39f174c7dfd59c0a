// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>A tensor's elements in host memory, copied there and back beside other work of the device.</summary>
internal sealed class HostCopy : Stash
{
    private readonly long[] _shape;
    private readonly DType _dtype;
    private readonly Device _device;
    private MezzoHostCopy _handle;
    private Tensor? _arriving;
    private bool _isUnderWay = true;

    /// <summary>Begins to copy. The elements must stay until <see cref="Wait"/>.</summary>
    public HostCopy(Tensor tensor)
    {
        (_shape, _dtype, _device) = (tensor.Shape.ToArray(), tensor.DType, tensor.Device);
        _handle = Calls.HostCopyCreate(tensor.Handle);
        GC.KeepAlive(tensor);
    }

    ~HostCopy() => Free();

    public override bool HoldsValues => true;

    /// <summary>Has the device finish copying before what is issued to it from now on.</summary>
    public void Wait()
    {
        Calls.HostCopyWait(_handle);
        _isUnderWay = false;
    }

    public override void Fetch()
    {
        if (_arriving is not null)
        {
            return;
        }

        var arriving = Tensor.AllocateOwned(_shape, _dtype, _device);
        try
        {
            Calls.HostCopyRestore(arriving.Handle, _handle);
        }
        catch
        {
            arriving.FreeNow();
            throw;
        }

        (_arriving, _isUnderWay) = (arriving, true);
    }

    public override Tensor Restore()
    {
        Fetch();
        Wait();
        var arrived = _arriving!;
        _arriving = null;
        return arrived;
    }

    public override void Dispose()
    {
        if (_handle.Id != 0)
        {
            WaitIfUnderWay();
            _arriving?.FreeNow();
            Free();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>What is freed may be used by what is issued next. Where the device cannot wait now, freeing the copy waits instead.</summary>
    private void WaitIfUnderWay()
    {
        try
        {
            if (_isUnderWay)
            {
                Wait();
            }
        }
        catch (MezzoException)
        {
        }
    }

    private void Free()
    {
        if (_handle.Id != 0)
        {
            var handle = _handle;
            _handle = default;
            Calls.HostCopyDestroy(handle);
        }
    }
}
