#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// Which of two words comes first in a sequence, by a small classifier in bf16: embedding, attention by matrix products and
// softmax, norms, dropout and cross-entropy: dotnet run -c Release samples/csharp/classifier.cs
using Mezzo;

const int Words = Classifier.Words, Length = Classifier.Length, Batch = 64, Steps = 200;
RandomSource.SetDefaultSeed(4);
using var model = new Classifier();
using var adam = new Adam(model, name => name.EndsWith("bias") ? AdamOptions.AdamW with { LearningRate = 3e-3, WeightDecay = 0 } : AdamOptions.AdamW with { LearningRate = 3e-3 });
using var trainer = new Trainer(adam, new TrainerOptions { Precision = Precision.BFloat16 });
var random = new Random(3);
for (int step = 0; step < Steps; step++)
{
    var (words, classes) = Sample();
    var result = trainer.Step((input, target) => Losses.CrossEntropy(model.Forward(input), target), words, classes);
    if (step % 50 == 0)
    {
        Console.WriteLine($"step {step}: loss {result.Loss:g3}");
    }
}

model.Eval(); // no dropout from here on
var (given, expected) = Sample();
float[] logits = model.Forward(given).ToArray<float>();
long[] right = expected.ToArray<long>();
double accuracy = right.Index().Count(one => (logits[2 * one.Index] < logits[(2 * one.Index) + 1] ? 1 : 0) == one.Item) / (double)Batch;
Console.WriteLine($"{accuracy:p0} of {Batch} sequences that it has not seen are right");
return accuracy > 0.9 ? 0 : 1;

// Sequences that hold word 0 and word 1; class 0 where word 0 comes first.
(Tensor Words, Tensor Classes) Sample()
{
    var words = new long[Batch * Length];
    var classes = new long[Batch];
    for (int i = 0; i < Batch; i++)
    {
        int[] places = [.. Enumerable.Range(0, Length).OrderBy(_ => random.Next()).Take(2)];
        for (int j = 0; j < Length; j++)
        {
            words[(i * Length) + j] = j == places[0] ? 0 : j == places[1] ? 1 : random.Next(2, Words);
        }

        classes[i] = places[0] < places[1] ? 0 : 1;
    }

    return (Tensor.Create(words, [Batch, Length]), Tensor.Create(classes, [Batch]));
}

internal sealed class Classifier : Module<Tensor, Tensor>
{
    public const int Words = 20, Length = 8;
    private const int Features = 32;
    private readonly Embedding _words;
    private readonly Embedding _places;
    private readonly LayerNorm _norm;
    private readonly Linear _query, _key, _value;
    private readonly Dropout _dropout;
    private readonly Sequential _head;
    private readonly Tensor _numbers = Tensor.Create([.. Enumerable.Range(0, Length)], [Length]).Keep();

    public Classifier()
    {
        _words = Register("words", new Embedding(Words, Features));
        _places = Register("places", new Embedding(Length, Features));
        _norm = Register("norm", new LayerNorm(Features));
        (_query, _key, _value) = (Register("query", Square()), Register("key", Square()), Register("value", Square()));
        _dropout = Register("dropout", new Dropout(0.1));
        _head = Register("head", new Sequential(new Linear(Length * Features, Features), new GELU(), new Linear(Features, 2)));
    }

    public override Tensor Forward(Tensor words)
    {
        long batch = words.Shape[0];
        var places = Tensor.Concat([.. Enumerable.Repeat(_numbers, (int)batch)]).Reshape(batch, Length);
        var x = _words.Forward(words) + _places.Forward(places);
        var normed = _norm.Forward(x);
        var scores = _query.Forward(normed).MatMul(_key.Forward(normed), transposeOther: true).Scale(1 / Math.Sqrt(Features));
        var attended = scores.Softmax().MatMul(_value.Forward(normed));
        return _head.Forward(_dropout.Forward(x + attended).Reshape(batch, Length * Features));
    }

    private static Linear Square() => new(Features, Features);
}
