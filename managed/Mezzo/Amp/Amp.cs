// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Mixed precision by level, as <c>apex.amp.initialize</c> sets it up.</summary>
public static class Amp
{
    /// <summary>Brings a model to an opt level.</summary>
    /// <inheritdoc cref="Initialize{TInput, TOutput}(Module{TInput, TOutput}, OptLevelOptions)"/>
    public static AmpModel<TInput, TOutput> Initialize<TInput, TOutput>(Module<TInput, TOutput> model, OptLevel level) =>
        Initialize(model, OptLevelOptions.Of(level));

    /// <summary>Brings a model to an opt level: casts its parameters where the level says so, in place.</summary>
    /// <param name="model">With f32 parameters, before its first step.</param>
    /// <param name="options">The level.</param>
    /// <returns>The model to be called instead, with its loss scaler.</returns>
    /// <exception cref="ArgumentException">The options do not go together, or a parameter is not f32.</exception>
    /// <exception cref="InvalidOperationException">A parameter has been cast by an earlier call.</exception>
    /// <example><code>
    /// var amp = Amp.Initialize(model, OptLevel.O2);
    /// using var adam = new Adam(amp.Parameters());
    /// using var trainer = new Trainer(adam, new TrainerOptions { Precision = amp.Options.Precision, Scaler = amp.Scaler });
    /// trainer.Step((x, y) => Losses.Mse(amp.Forward(x), y), input, target);
    /// </code></example>
    public static AmpModel<TInput, TOutput> Initialize<TInput, TOutput>(Module<TInput, TOutput> model, OptLevelOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        var named = model.NamedParameters().ToArray();
        if (Array.Find(named, pair => pair.Parameter.IsCast).Name is { } cast)
        {
            throw new InvalidOperationException($"The parameter {cast} has been cast by an earlier Amp.Initialize, expected one call for a model.");
        }

        var initialized = new AmpModel<TInput, TOutput>(model, options, named.FirstOrDefault().Parameter?.Device ?? Device.Default);
        if (options.CastModel)
        {
            Cast(model, named, options);
        }

        return initialized;
    }

    private static void Cast(Module model, (string Name, Parameter Parameter)[] named, OptLevelOptions options)
    {
        var kept = model.Modules().Where(module => module.IsBatchNorm && options.KeepBatchNormFloat32 == true)
            .SelectMany(module => module.Parameters()).ToHashSet();
        var cast = Array.FindAll(named, pair => !kept.Contains(pair.Parameter));
        foreach (var (name, parameter) in cast)
        {
            if (parameter.DType != DType.Float32)
            {
                throw new ArgumentException($"The parameter {name} is {parameter.Description}, expected f32.", nameof(model));
            }
        }

        foreach (var (_, parameter) in cast)
        {
            parameter.CastTo(options.HalfType, options.MasterWeights);
        }
    }
}
