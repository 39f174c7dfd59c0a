// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// Tensors in files of the format safetensors, which PyTorch, JAX and others read: <c>safetensors.torch.load_file</c>.
/// A file holds names, dtypes, shapes and bytes, and no code.
/// </summary>
/// <example><code>
/// SafeTensors.Save("net.safetensors", model.StateDict());
/// model.LoadStateDict(SafeTensors.Load("net.safetensors"));
/// </code></example>
public static class SafeTensors
{
    /// <summary>
    /// Writes tensors to a file. One of that name is replaced as a whole, once everything is on the disk: whoever reads it
    /// finds the old file or the new one, also after a crash.
    /// </summary>
    /// <param name="path">Where to.</param>
    /// <param name="tensors">Tensors by name; each name once. They are read in pieces, so that no second copy of them is made.</param>
    /// <param name="metadata">What the file is to say of itself; null for nothing.</param>
    /// <exception cref="IOException">The file cannot be written; what was there is still there.</exception>
    /// <exception cref="ArgumentException">A name is given twice, or is <c>__metadata__</c>.</exception>
    public static void Save(string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(tensors);
        var named = new OrderedDictionary<string, Tensor>(tensors); // refuses names that are given twice
        AtomicFile.Write(Disk.Physical, path, stream => Write(stream, named, metadata));
    }

    /// <summary>Reads all tensors of a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="device">Where to allocate; null for <see cref="Device.Default"/>. The tensors belong to the current scope.</param>
    /// <returns>The tensors by name, in order of their bytes.</returns>
    /// <exception cref="SavedFileException">It is not a safetensors file, not a whole one, or holds a tensor of a type or shape that none here can be of.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static IReadOnlyDictionary<string, Tensor> Load(string path, Device? device = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using var file = SafeTensorsFile.Open(path);
        var tensors = new OrderedDictionary<string, Tensor>();
        try
        {
            foreach (string name in file.Tensors.Keys)
            {
                tensors.Add(name, file.Load(name, device));
            }
        }
        catch
        {
            foreach (var tensor in tensors.Values)
            {
                tensor.Dispose();
            }

            throw;
        }

        return tensors;
    }

    /// <summary>Writes the format to a stream.</summary>
    internal static void Write(Stream stream, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var header = SafeTensorsHeader.Of(tensors, metadata ?? new Dictionary<string, string>());
        header.Write(stream);
        foreach (var info in header.Tensors)
        {
            TensorBytes.CopyTo(tensors[info.Name], stream);
        }
    }
}
