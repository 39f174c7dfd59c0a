// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A safetensors file that is open for reading. Opening it reads and checks its header alone.</summary>
/// <example><code>
/// using var file = SafeTensorsFile.Open("net.safetensors");
/// Tensor weight = file.Load("trunk.0.weight");
/// </code></example>
public sealed class SafeTensorsFile : IDisposable
{
    private readonly Stream _stream;
    private readonly string _path;
    private readonly SafeTensorsHeader _header;
    private readonly OrderedDictionary<string, SafeTensorInfo> _tensors = [];

    /// <summary>Takes a stream over, also where its header is refused.</summary>
    internal SafeTensorsFile(Stream stream, string path)
    {
        (_stream, _path) = (stream, path);
        try
        {
            _header = SafeTensorsHeader.Read(stream, path);
        }
        catch (Exception exception)
        {
            stream.Dispose();
            throw exception is EndOfStreamException ? Shrunk(exception) : exception;
        }

        foreach (var tensor in _header.Tensors)
        {
            _tensors.Add(tensor.Name, tensor);
        }
    }

    /// <summary>What the file says of itself, as text by name.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>The tensors by name, in order of their bytes.</summary>
    public IReadOnlyDictionary<string, SafeTensorInfo> Tensors => _tensors;

    /// <summary>Opens a file.</summary>
    /// <exception cref="SavedFileException">It is not a safetensors file, or not a whole one.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static SafeTensorsFile Open(string path) => new(Disk.Physical.Open(path), path);

    /// <summary>Reads a tensor into a new one, which belongs to the current scope.</summary>
    /// <param name="name">Its name in the file.</param>
    /// <param name="device">Where to allocate; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    /// <exception cref="SavedFileException">No tensor here can be of its type or shape, or the file was cut off since it was opened.</exception>
    public Tensor Load(string name, Device? device = null)
    {
        var info = Tensors.TryGetValue(name, out var found)
            ? found
            : throw new KeyNotFoundException($"{_path}: there is no tensor '{name}'.");
        var dtype = info.DType ?? throw new SavedFileException(_path, $"the tensor '{name}' is {info.Description}, and no tensor here holds {info.TypeName}");
        var tensor = Allocate(info, dtype, device ?? Device.Default);
        try
        {
            _stream.Position = _header.DataStart + info.Begin;
            TensorBytes.CopyFrom(tensor, _stream);
            return tensor;
        }
        catch (Exception exception)
        {
            tensor.Dispose();
            throw exception is EndOfStreamException ? Shrunk(exception) : exception;
        }
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _stream.Dispose();

    private Tensor Allocate(SafeTensorInfo info, DType dtype, Device device)
    {
        try
        {
            return Tensor.Allocate([.. info.Shape], dtype, device);
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.InvalidArgument)
        {
            throw new SavedFileException(_path, $"no tensor here can be '{info.Name}', {info.Description}: {exception.Message}", exception);
        }
    }

    private SavedFileException Shrunk(Exception exception) => new(_path, "became shorter while it was read", exception);
}
