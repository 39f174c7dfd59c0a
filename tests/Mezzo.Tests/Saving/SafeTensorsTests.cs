// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Saving;

internal sealed class SafeTensorsTests : TensorFixture
{
    private TemporaryFolder _folder = null!;

    private string FilePath => _folder.File("tensors.safetensors");

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [Test]
    public void File_HasTheBytesOfTheFormat()
    {
        SafeTensors.Save(FilePath, new Dictionary<string, Tensor> { ["a"] = Tensor.Create<byte>([1, 2], [2]), ["b"] = Tensor.Create([1f], [1, 1]) });

        byte[] bytes = File.ReadAllBytes(FilePath);
        const string Header = """{"b":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}""";
        int padded = (Header.Length + 7) / 8 * 8;
        Assert.That(BitConverter.ToInt64(bytes), Is.EqualTo(padded));
        Assert.That(Encoding.UTF8.GetString(bytes, 8, padded), Is.EqualTo(Header.PadRight(padded)));
        Assert.That(bytes[(8 + padded)..], Is.EqualTo(new byte[] { 0, 0, 128, 63, 1, 2 }));
    }

    [Test]
    public void Tensors_OfEveryDTypeAndShape_ComeBackBitByBit()
    {
        var saved = Samples();
        var metadata = new Dictionary<string, string> { ["format"] = "pt", ["a \"quote\"\n"] = "ä" };
        SafeTensors.Save(FilePath, saved, metadata);

        using var file = SafeTensorsFile.Open(FilePath);
        Assert.That(file.Metadata, Is.EquivalentTo(metadata));
        var loaded = SafeTensors.Load(FilePath);
        Assert.That(loaded.Keys, Is.EquivalentTo(saved.Keys));
        foreach (var (name, tensor) in saved)
        {
            Assert.That((loaded[name].DType, loaded[name].Device), Is.EqualTo((tensor.DType, TestDevice.Current)), name);
            Assert.That(loaded[name].Shape.ToArray(), Is.EqualTo(tensor.Shape.ToArray()), name);
            Assert.That(Bytes(loaded[name]), Is.EqualTo(Bytes(tensor)), name);
            Assert.That(file.Tensors[name].Description, Is.EqualTo(tensor.Description));
        }
    }

    [Test]
    public void LargeTensor_IsCopiedInPieces()
    {
        var large = Tensor.Uniform([3, (1 << 20) + 5]);
        SafeTensors.Save(FilePath, new Dictionary<string, Tensor> { ["large"] = large });
        Assert.That(Bytes(SafeTensors.Load(FilePath)["large"]).AsSpan().SequenceEqual(Bytes(large)));
    }

    [Test]
    public void Elements_AreAlignedToTheirSize()
    {
        SafeTensors.Save(FilePath, Samples());
        using var file = SafeTensorsFile.Open(FilePath);
        foreach (var info in file.Tensors.Values)
        {
            Assert.That(info.Begin % info.DType!.Value.Size(), Is.Zero, info.Name);
        }

        Assert.That(BitConverter.ToInt64(File.ReadAllBytes(FilePath)) % 8, Is.Zero);
    }

    [Test]
    public void Python_ReadsTheSame()
    {
        var saved = Samples();
        SafeTensors.Save(FilePath, saved, new Dictionary<string, string> { ["key"] = "välue" });
        var read = RunPython(FilePath);

        Assert.That(read.GetProperty("metadata").GetProperty("key").GetString(), Is.EqualTo("välue"));
        Assert.That(read.GetProperty("data_begins_at").GetInt64() % 8, Is.Zero);
        var tensors = read.GetProperty("tensors");
        Assert.That(tensors.EnumerateObject().Select(tensor => tensor.Name), Is.EquivalentTo(saved.Keys));
        foreach (var (name, tensor) in saved)
        {
            var found = tensors.GetProperty(name);
            Assert.That(found.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64()), Is.EqualTo(tensor.Shape.ToArray()), name);
            Assert.That(found.GetProperty("values").EnumerateArray().Select(value => value.GetDouble()), Is.EqualTo(Numbers(tensor)), name);
        }
    }

    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "have 8 bytes, but 4 follow")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "have 4 bytes, but 8 follow")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "begins at byte 4, expected 0")]
    [TestCase("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}""", 6, "'b' begins at byte 2, expected 4")]
    [TestCase("""{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}""", 4, "begins at byte 0, expected 4")]
    [TestCase("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}""", 5, "begins at byte 3, expected 2")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "expected where it begins and where it ends")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "expected where it begins and where it ends")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", 4, "expected where it begins and where it ends")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "has 4 bytes by its data_offsets, expected 8 for F32[2]")]
    [TestCase("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "more bytes than there are")]
    [TestCase("""{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}}""", 0, "more bytes than there are")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2305843009213693952],"data_offsets":[0,9223372036854775807]}}""", 4, "more bytes than there are")]
    [TestCase("""{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}""", 4, "but 4 follow")]
    [TestCase("""{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}""", 4, "the dtype 'F31', which the format does not know")]
    [TestCase("""{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", 4, "is a JSON Number, expected String")]
    [TestCase("""{"a":{"shape":[1],"data_offsets":[0,4]}}""", 4, "has no dtype")]
    [TestCase("""{"a":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "has no shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1]}}""", 4, "has no data_offsets")]
    [TestCase("""{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "the key 'dtype' twice")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"code":"x"}}""", 4, "the key 'code', expected")]
    [TestCase("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "the name 'a' twice")]
    [TestCase("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}""", 0, "the name 'a' twice")]
    [TestCase("""{"a":[]}""", 0, "is a JSON StartArray, expected StartObject")]
    [TestCase("""{"__metadata__":{"a":1}}""", 0, "the metadata 'a' is a JSON Number, expected String")]
    [TestCase("""{"__metadata__":[]}""", 0, "the metadata is a JSON StartArray")]
    [TestCase("""{"__metadata__":{"a":"1","a":"2"}}""", 0, "the metadata has the name 'a' twice")]
    [TestCase("""{"a":{"dtype":{"b":{"c":{"d":{}}}},"shape":[1],"data_offsets":[0,4]}}""", 4, "is a JSON StartObject, expected String")]
    [TestCase("""{"a":{"dtype":"F32","shape":[[[[[1]]]]],"data_offsets":[0,4]}}""", 4, "something else than whole numbers")]
    [TestCase("""{"a":""", 0, "not valid JSON")]
    [TestCase("""{} {}""", 0, "not valid JSON")]
    [TestCase("""[]""", 0, "does not begin with '{'")]
    [TestCase("""  {}""", 0, "does not begin with '{'")]
    [TestCase("", 0, "does not begin with '{'")]
    [TestCase("""{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}""", 0, "not valid JSON")]
    public void HostileFile_IsRefused_NamingWhy(string header, int dataBytes, string reason)
    {
        byte[] bytes = [.. BitConverter.GetBytes((long)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. new byte[dataBytes]];
        File.WriteAllBytes(FilePath, bytes);
        var exception = Assert.Throws<SavedFileException>(() => SafeTensors.Load(FilePath))!;
        Assert.That(exception.Message, Does.Contain(reason).And.StartsWith(FilePath));
        Assert.That(exception.File, Is.EqualTo(FilePath));
    }

    [TestCase(ulong.MaxValue)]
    [TestCase(1UL << 63)]
    [TestCase(100_000_001UL)]
    [TestCase(3UL)]
    public void HeaderLength_ThatTheFileHasNot_IsRefused(ulong length)
    {
        File.WriteAllBytes(FilePath, [.. BitConverter.GetBytes(length), (byte)'{', (byte)'}']);
        Assert.That(() => SafeTensors.Load(FilePath), Throws.TypeOf<SavedFileException>().With.Message.Contain($"the header's length is {length} bytes, expected at most 2"));
    }

    [Test]
    public void TextThatIsNotUtf8_IsRefused()
    {
        byte[] header = [.. "{\""u8, 0xFF, .. "\":{}}"u8];
        File.WriteAllBytes(FilePath, [.. BitConverter.GetBytes((long)header.Length), .. header]);
        Assert.That(() => SafeTensors.Load(FilePath), Throws.TypeOf<SavedFileException>().With.Message.Contain("not valid JSON"));
    }

    [Test]
    public void WhatTheReferenceReads_IsRead()
    {
        const string Header = """{"b":{"dtype":"BOOL","shape":[2],"data_offsets":[4,6]},"empty":{"shape":[0,9223372036854775807],"data_offsets":[4,4],"dtype":"F32"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}    """;
        File.WriteAllBytes(FilePath, [.. BitConverter.GetBytes((long)Header.Length), .. Encoding.UTF8.GetBytes(Header), .. BitConverter.GetBytes(2f), 1, 0]);
        using var file = SafeTensorsFile.Open(FilePath);
        Assert.That(file.Load("a").Item(), Is.EqualTo(2));
        Assert.That((file.Tensors["b"].TypeName, file.Tensors["b"].DType), Is.EqualTo(("BOOL", (DType?)null)));
        Assert.That(() => file.Load("b"), Throws.TypeOf<SavedFileException>().With.Message.Contain("no tensor here holds BOOL"));
        Assert.That(() => file.Load("empty"), Throws.TypeOf<SavedFileException>().With.Message.Contain("no tensor here can be 'empty', f32[0,"));
        Assert.That(() => file.Load("c"), Throws.TypeOf<KeyNotFoundException>());
        Assert.That(() => SafeTensors.Load(FilePath), Throws.TypeOf<SavedFileException>());
    }

    [Test]
    public void FileTruncatedAtAnyByte_IsRefused()
    {
        byte[] whole = SmallFile();
        for (int length = 0; length < whole.Length; length++)
        {
            using var stream = new MemoryStream(whole[..length]);
            Assert.That(() => new SafeTensorsFile(stream, "small"), Throws.TypeOf<SavedFileException>(), $"{length} bytes");
        }
    }

    [Test]
    public void FileWithAnyBitFlipped_IsRefusedOrReadWhole()
    {
        byte[] whole = SmallFile();
        long before = Device.Cpu.Memory.LiveTensors; // and what others have left to the garbage collector
        for (int bit = 0; bit < whole.Length * 8; bit++)
        {
            byte[] flipped = [.. whole];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            using var scope = TensorScope.Begin();
            try
            {
                using var file = new SafeTensorsFile(new MemoryStream(flipped), "small");
                foreach (string name in file.Tensors.Keys)
                {
                    file.Load(name, Device.Cpu);
                }
            }
            catch (SavedFileException)
            {
                Assert.That(Device.Cpu.Memory.LiveTensors, Is.LessThanOrEqualTo(before), "nothing is left of a file that was refused while it was opened");
            }
        }
    }

    [Test]
    public void FileThatShrinksWhileItIsRead_IsRefused()
    {
        byte[] whole = SmallFile();
        using var stream = new MemoryStream();
        stream.Write(whole);
        stream.Position = 0;
        using var file = new SafeTensorsFile(stream, "small");
        stream.SetLength(whole.Length - 1);
        Assert.That(() => file.Tensors.Keys.Select(name => file.Load(name)).ToArray(), Throws.TypeOf<SavedFileException>().With.Message.Contain("became shorter"));
    }

    [Test]
    public void Names_AreGivenOnce_AndNotTheFormatsOwn()
    {
        var tensor = Tensor.Zeros([1]);
        KeyValuePair<string, Tensor>[] twice = [new("a", tensor), new("a", tensor)];
        Assert.That(() => SafeTensors.Save(FilePath, twice), Throws.ArgumentException);
        Assert.That(
            () => SafeTensors.Save(FilePath, new Dictionary<string, Tensor> { ["__metadata__"] = tensor }),
            Throws.ArgumentException.With.Message.Contain("'__metadata__', which the format has for itself"));
        Assert.That(File.Exists(FilePath), Is.False);
    }

    [Test]
    public void PlacesThatCannotBeWritten_AreNamed()
    {
        var tensors = new Dictionary<string, Tensor> { ["a"] = Tensor.Zeros([1]) };
        Assert.That(() => SafeTensors.Save(_folder.Path, tensors), Throws.InstanceOf<IOException>().With.Message.Contain("is a folder, expected a file"));
        Assert.That(() => SafeTensors.Save(_folder.File("none", "x"), tensors), Throws.InstanceOf<IOException>().With.Message.Contain(_folder.File("none")));
        Assert.That(() => SafeTensors.Load(_folder.Path), Throws.InstanceOf<IOException>().With.Message.Contain("is a folder, expected a file"));
        Assert.That(() => SafeTensors.Load(_folder.File("none")), Throws.TypeOf<FileNotFoundException>().With.Message.Contain(_folder.File("none")));
        if (!OperatingSystem.IsWindows())
        {
            Assert.That(() => SafeTensors.Save("/dev/full", tensors), Throws.InstanceOf<IOException>().With.Message.Contain("is a device"));
        }
    }

    [Test]
    public void Link_StaysALink_ToTheNewFile()
    {
        string link = _folder.File("link");
        File.WriteAllText(FilePath, "old");
        File.CreateSymbolicLink(link, FilePath);
        SafeTensors.Save(link, new Dictionary<string, Tensor> { ["a"] = Tensor.Scalar(5f) });
        Assert.That(new FileInfo(link).LinkTarget, Is.EqualTo(FilePath));
        Assert.That(SafeTensors.Load(FilePath)["a"].Item(), Is.EqualTo(5));
        Assert.That(Directory.GetFiles(_folder.Path), Has.Length.EqualTo(2), "nothing else is left");
    }

    private static Dictionary<string, Tensor> Samples() => new()
    {
        ["scalar"] = Tensor.Scalar(-0.0f),
        ["f64 \"quoted\""] = Tensor.Create([double.MaxValue, double.Epsilon, 1.0 / 3], [3]),
        ["trunk.0.weight"] = Tensor.Create([1f, -2f, 1f / 3, float.Epsilon, 4f, 5f], [2, 3]),
        ["half\t\\ä\u4e2d"] = Tensor.Create([(Half)0.1, Half.MaxValue, (Half)(-1)], [3]),
        ["bf16"] = Tensor.Create([(BFloat16)0.1f, (BFloat16)1e30f], [1, 2, 1]),
        ["i64"] = Tensor.Create([long.MaxValue, long.MinValue], [2]),
        ["i32"] = Tensor.Create([int.MaxValue, int.MinValue, 0], [3]),
        ["u8"] = Tensor.Create<byte>([0, 255, 7], [3]),
        ["ones"] = Tensor.Full([1, 1, 1, 1], 1),
        [""] = Tensor.Create<byte>([9], [1]),
    };

    private static byte[] SmallFile()
    {
        using var stream = new MemoryStream();
        SafeTensors.Write(
            stream,
            new Dictionary<string, Tensor> { ["a"] = Tensor.Create([1f, 2f], [2], Device.Cpu), ["b"] = Tensor.Create<byte>([1, 2, 3], [3], Device.Cpu) },
            new Dictionary<string, string> { ["k"] = "v" });
        return stream.ToArray();
    }

    private static byte[] Bytes(Tensor tensor)
    {
        using var stream = new MemoryStream();
        TensorBytes.CopyTo(tensor, stream);
        return stream.ToArray();
    }

    private static double[] Numbers(Tensor tensor) => tensor.DType switch
    {
        DType.Int64 => Array.ConvertAll(tensor.ToArray<long>(), value => (double)value),
        DType.Int32 => Array.ConvertAll(tensor.ToArray<int>(), value => (double)value),
        DType.UInt8 => Array.ConvertAll(tensor.ToArray<byte>(), value => (double)value),
        _ => Values(tensor),
    };

    private static JsonElement RunPython(string file)
    {
        var start = new ProcessStartInfo("python3", [Path.Combine(TestContext.CurrentContext.TestDirectory, "Saving", "read_safetensors.py"), file])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using var process = Process.Start(start)!;
            var errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.Zero, errors.Result);
            using var json = JsonDocument.Parse(output);
            return json.RootElement.Clone();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("There is no python3 on PATH.");
            throw;
        }
    }
}
