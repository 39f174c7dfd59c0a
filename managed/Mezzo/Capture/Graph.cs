// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Work on a device, captured once and launched again and again at the cost of one call: a CUDA graph, or on the
/// CPU the list of kernels without their checks.
/// </summary>
/// <remarks>
/// <para>
/// A launch repeats the ops, not the C# code around them. It reads what tensors from outside of the capture hold
/// then; numbers, such as a factor or a learning rate, stay what they were. Tensors made during the capture live
/// in memory of the graph's own, and those that are kept hold the results of the latest launch.
/// </para>
/// <para>
/// What the host remembers of tensors follows each launch: the 16-bit copies of parameters are brought up to date
/// before it, changes in place are counted after it, and a leaf that received its gradient during the capture has
/// that of the latest launch as its <see cref="Tensor.Grad"/>.
/// </para>
/// <para>
/// What cannot be captured throws and ends the capture: reading or writing elements from the host, random numbers,
/// copies between devices. Ops on another device run at once and are no part of the graph. While a capture is under
/// way other threads cannot use its device.
/// </para>
/// <para>
/// As elsewhere, tensors made during the capture belong to the open <see cref="TensorScope"/>. One that ends with the
/// capture lets the graph use the memory of intermediate tensors again.
/// </para>
/// </remarks>
/// <example><code>
/// using var graph = Graph.Capture(() => y.CopyFrom((x * 2).Relu()));
/// graph.Launch();
/// </code></example>
public sealed class Graph : IDisposable
{
    private readonly CaptureTrace _trace;
    private MezzoGraph _handle;

    private Graph(MezzoGraph handle, MezzoGraphInfo info, Device device, CaptureTrace trace)
    {
        (_handle, _trace, Device) = (handle, trace, device);
        (Ops, MemoryBytes) = (info.Ops, info.MemoryBytes);
        Signature = new CaptureSignature(info.Ops, info.Signature, trace.Signature);
    }

    /// <summary>Frees a graph that was not disposed of.</summary>
    ~Graph() => Free();

    /// <summary>Whether the calling thread is capturing a graph.</summary>
    public static bool IsCapturing => CaptureTrace.Recording is not null;

    /// <summary>What the graph runs on.</summary>
    public Device Device { get; }

    /// <summary>Number of native ops captured.</summary>
    public long Ops { get; }

    /// <summary>Memory of the graph's own, in bytes: that of the tensors made during the capture.</summary>
    public long MemoryBytes { get; }

    /// <summary>What tells captures of different work apart.</summary>
    internal CaptureSignature Signature { get; }

    /// <summary>Captures what an action does on a device. Nothing of it is run.</summary>
    /// <param name="work">Issues ops to the device from this thread; called once.</param>
    /// <param name="device">The device; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="MezzoException">
    /// The device is being captured already, or the action did what cannot be captured; the status is
    /// <see cref="MezzoStatus.CaptureInvalid"/>.
    /// </exception>
    /// <remarks>Whatever the action throws ends the capture, drops what it recorded, and is thrown on.</remarks>
    public static Graph Capture(Action work, Device? device = null)
    {
        ArgumentNullException.ThrowIfNull(work);
        var captured = device ?? Device.Default;
        var trace = new CaptureTrace(isRecording: true, captured);
        Calls.GraphCaptureBegin(captured.Id);
        try
        {
            trace.Run(work);
        }
        catch
        {
            Abort(captured);
            trace.Undo();
            throw;
        }

        return End(captured, trace);
    }

    /// <summary>Runs the captured ops after the work issued before. On CUDA it returns once they are issued.</summary>
    /// <exception cref="ObjectDisposedException">The graph has been disposed of.</exception>
    public void Launch()
    {
        ObjectDisposedException.ThrowIf(_handle.Id == 0, this);
        _trace.BeforeLaunch();
        Calls.GraphLaunch(_handle);
        _trace.AfterLaunch();
        GC.KeepAlive(this);
    }

    /// <summary>Frees the graph. Its memory goes back to the device once tensors made during the capture no longer use it.</summary>
    public void Dispose()
    {
        Free();
        _trace.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Why a launch would not do what the captured code would do now, as far as tensors tell; null when it would.</summary>
    /// <param name="cleared">Leaves whose gradients the caller clears before each launch.</param>
    internal string? FindChange(IReadOnlySet<Tensor> cleared) => _trace.FindChange(cleared);

    private static Graph End(Device device, CaptureTrace trace)
    {
        MezzoGraph handle = default;
        try
        {
            handle = Calls.GraphCaptureEnd(device.Id);
            var info = Calls.GraphDescribe(handle);
            trace.Complete();
            return new Graph(handle, info, device, trace);
        }
        catch
        {
            trace.Undo();
            Calls.GraphDestroy(handle);
            throw;
        }
    }

    /// <summary>Ends a capture after a failure, which is what the caller is to hear of, whatever this one says.</summary>
    private static void Abort(Device device)
    {
        try
        {
            Calls.GraphCaptureAbort(device.Id);
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
            Calls.GraphDestroy(handle);
        }
    }
}

/// <summary>What tells captures of different work apart.</summary>
/// <param name="Ops">Number of native ops.</param>
/// <param name="Native">The native library's signature: ops and memory from outside.</param>
/// <param name="Managed">This library's: ops, tensors from outside and inside, and numbers.</param>
internal readonly record struct CaptureSignature(long Ops, ulong Native, ulong Managed);
