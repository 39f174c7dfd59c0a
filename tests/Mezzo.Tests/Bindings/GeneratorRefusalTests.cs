// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Bindings;

/// <summary>The generator refuses, with file, line and reason, what it cannot bind faithfully.</summary>
public sealed class GeneratorRefusalTests
{
    // Seven lines, so that what a case declares stands on line 8.
    private const string Prologue = """
        #include <stddef.h>
        #include <stdint.h>
        #include <stdbool.h>
        #include <time.h>
        #define MEZZO_API
        /** A status. */
        typedef enum mezzo_status { MEZZO_STATUS_OK = 0 /**< fine */ } mezzo_status;

        """;

    private static readonly object[][] Cases =
    [
        ["/** U. */ typedef union mezzo_u_tag { int32_t a; /**< a */ } mezzo_u;", "union mezzo_u_tag"],
        ["/** S. */ typedef struct mezzo_s { uint32_t a : 3; /**< a */ } mezzo_s;", "bit-field a"],
        ["/** S. */ typedef struct mezzo_s { int32_t *a; /**< a */ } mezzo_s;", "pointer a in a struct"],
        ["/** S. */ typedef struct mezzo_s { int32_t a; } mezzo_s;", "a is not documented"],
        ["/** S. */ typedef struct { int32_t a; /**< a */ } mezzo_s;", "no tag"],
        ["/** S. */ struct mezzo_s { int32_t a; /**< a */ };", "mezzo_s has no typedef"],
        ["/** S. */ typedef struct mezzo_s mezzo_s;", "mezzo_s is declared but not defined"],
        ["/** S. */ typedef struct mezzo_s_handle { int32_t a; /**< a */ } mezzo_s;", "expected only uint64_t id"],
        ["/** E. */ typedef enum mezzo_e { MEZZO_E_A /**< a */ } mezzo_e;", "MEZZO_E_A has no value"],
        ["/** C. */ typedef void (*mezzo_callback)(int32_t);", "typedef mezzo_callback"],
        ["/** F. */ mezzo_status mezzo_f(int32_t a, ...);", "mezzo_f is variadic"],
        ["/** F. */ mezzo_status mezzo_f(size_t a);", "size_t: its size depends on the platform"],
        ["/** F. */ mezzo_status mezzo_f(long a);", "long: its size depends on the platform"],
        ["/** F. */ mezzo_status mezzo_f(unsigned long long a);", "unsigned long long: its size depends"],
        ["/** F. */ mezzo_status mezzo_f(bool a);", "its size is the compiler's choice; use int32_t"],
        ["/** F. */ mezzo_status mezzo_f(char a);", "char only as const char *"],
        ["/** F. */ mezzo_status mezzo_f(struct tm a);", "struct tm: unknown type"],
        ["/** F. @param a f */ mezzo_status mezzo_f(void (*a)(int32_t));", "function pointer without a typedef"],
        ["/** F. */ mezzo_status mezzo_f(int32_t);", "a parameter of type int32_t has no name"],
        ["mezzo_status mezzo_f(int32_t a);", "mezzo_f is not documented"],
        ["/** F. */ mezzo_status mezzo_f(int32_t *a);", "pointer a is not documented"],
        ["/** F. @param b b */ mezzo_status mezzo_f(int32_t a);", "parameter 'b' not found"],
        ["/** F <b>bold</b>. */ mezzo_status mezzo_f(int32_t a);", "the comment holds a HTMLStartTagComment b"],
        ["/** V. */ extern int32_t mezzo_v;", "VarDecl mezzo_v"],
    ];

    private static readonly object[][] CallCases =
    [
        ["/** F. */\nMEZZO_API int32_t mezzo_f(int32_t a);", "returns neither mezzo_status nor const char *"],
        ["/** F. @param a a */\nMEZZO_API mezzo_status mezzo_f(int32_t *a);", "does not say how pointer a is used"],
        ["/** F. @param a a */\nMEZZO_API mezzo_status mezzo_f(const void *a);", "does not say how pointer a is used"],
        [
            "/** F.\n@param[out] a a\n@param[out] b b */\nMEZZO_API mezzo_status mezzo_f(int32_t *a, int32_t *b);",
            "has more than one single out value",
        ],
        [
            "/** F.\n@param a n numbers, may be null */\nMEZZO_API mezzo_status mezzo_f(const int32_t *a, int32_t n);",
            "every array of length n may be absent",
        ],
    ];

    [TestCaseSource(nameof(Cases))]
    public void Header_WithADeclarationThatHasNoCounterpart_IsRefused(string declaration, string reason)
    {
        string message = Refusal(declaration);

        Assert.That(message, Does.Contain("native/include/mezzo/bad.h:8").And.Contain(reason));
    }

    [TestCaseSource(nameof(CallCases))]
    public void Function_ThatDoesNotFollowTheConventions_IsRefused(string declaration, string reason)
    {
        string message = Refusal(declaration);

        Assert.That(message, Does.Match("native/include/mezzo/bad.h:\\d+: mezzo_f").And.Contain(reason));
    }

    [Test]
    public void Function_WithoutMezzoApi_IsRefusedByTheCount()
    {
        string message = Refusal("/** F. */ mezzo_status mezzo_f(int32_t a);");

        Assert.That(message, Is.EqualTo("The headers' text declares 0 functions, their syntax tree 1."));
    }

    [Test]
    public void Names_WithoutTheirPrefix_AreRefused()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                Refusal("/** F. */\nMEZZO_API mezzo_status f(int32_t a);"),
                Does.Contain("f does not start with mezzo_"));
            Assert.That(
                Refusal("/** E. */\ntypedef enum mezzo_e { OTHER_A = 1 /**< a */ } mezzo_e;"),
                Does.Contain("OTHER_A does not start with MEZZO_E_"));
        }
    }

    private static string Refusal(string declaration)
    {
        BindingsEnvironment.RequireClang();
        using var folder = new TemporaryFolder();
        string header = folder.File("native", "include", "mezzo", "bad.h");
        Directory.CreateDirectory(Path.GetDirectoryName(header)!);
        File.WriteAllText(header, Prologue + declaration + "\n");
        return Assert.Throws<GeneratorException>(() => SourceTree.Around(folder.File()).Generate())!.Message;
    }
}
