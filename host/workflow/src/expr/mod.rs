//! jq expressions, bounded.
//!
//! An author's expression must not be able to hang, overflow or exhaust the host. jq has no such bounds, so the parsed program
//! is rewritten before it is compiled: every definition, pipe, collection and fold passes through a native filter, `__tick`,
//! that counts steps, looks at the clock and at the stack; whatever could multiply a value's size passes through a check of
//! it. Evaluation happens on threads of its own with a large stack, and the caller waits only so long: what slips
//! through costs one thread, not the host.

mod guard;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use jaq_core::data::JustLut;
use jaq_core::load::parse::Def;
use jaq_core::load::{Arena, File, Lexer, Loader, Parser, span};
use jaq_core::native::{Fun, bome, v};
use jaq_core::{Compiler, Ctx, Native, Vars};
use jaq_json::{Num, Val};
use serde_json::Value;

use guard::{call, guard, pipe};

type Data = JustLut<Val>;
type Program = jaq_core::Filter<Data>;

/// An expression longer than this is data, not an expression.
pub const MAX_SOURCE: usize = 16 * 1024;
/// About two seconds of a debug build; a loop over 100,000 records fits.
const MAX_TICKS: u64 = 2_000_000;
const MAX_TIME: Duration = Duration::from_secs(2);
/// How much longer than [`MAX_TIME`] a caller waits before it gives a thread up for lost.
const GRACE: Duration = Duration::from_secs(1);
const MAX_STRING: usize = 8 << 20;
const MAX_ITEMS: usize = 1 << 20;
const MAX_NODES: usize = 1 << 20;
const MAX_DEPTH: usize = 500;
const MAX_BIGINT_BITS: u64 = 64 * 1024;
/// Only touched pages cost memory.
const STACK: usize = 256 << 20;
/// Recursion deeper than this fails in `__tick`, long before the stack ends. The rest is for dropping nested values.
const STACK_USE: usize = 96 << 20;
const WORKERS: usize = 2;
const MAX_LOST: usize = 16;
const CACHED_PROGRAMS: usize = 512;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// It is not jq, or names what does not exist.
    #[error("{message} at position {position}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Byte offset in the expression.
        position: usize,
    },
    /// It failed on the given data.
    #[error("{0}")]
    Failed(String),
    /// It took too long, or made something too large.
    #[error("the expression {0}; make it smaller, or do the work in an action")]
    Limit(String),
}

/// Evaluates expressions. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Jq(Arc<Pool>);

struct Pool {
    sender: Mutex<mpsc::Sender<Job>>,
    receiver: Arc<Mutex<mpsc::Receiver<Job>>>,
    lost: AtomicUsize,
}

struct Job {
    source: String,
    input: Value,
    vars: Vec<(String, Value)>,
    check_only: bool,
    taken: Arc<std::sync::atomic::AtomicBool>,
    answer: mpsc::SyncSender<Result<Value, ExprError>>,
}

impl std::fmt::Debug for Jq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jq")
    }
}

impl Default for Jq {
    fn default() -> Self {
        Jq::new()
    }
}

impl Jq {
    /// Starts the threads.
    pub fn new() -> Jq {
        let (sender, receiver) = mpsc::channel();
        let pool = Arc::new(Pool { sender: Mutex::new(sender), receiver: Arc::new(Mutex::new(receiver)), lost: AtomicUsize::new(0) });
        for _ in 0..WORKERS {
            spawn_worker(pool.receiver.clone());
        }
        Jq(pool)
    }

    /// Evaluates `source` (without `${ }`) on `input`: its first output; no output is an error. Blocks, at most some seconds.
    /// Only those of `vars` that the text mentions are handed over.
    pub fn eval(&self, source: &str, input: &Value, vars: &[(&str, &Value)]) -> Result<Value, ExprError> {
        let vars =
            vars.iter().filter(|(name, _)| source.contains(&format!("${name}"))).map(|(n, v)| ((*n).to_owned(), (*v).clone())).collect();
        self.send(source, input.clone(), vars, false)
    }

    /// Whether `source` is a program, given the names of its variables.
    pub fn check(&self, source: &str, vars: &[&str]) -> Result<(), ExprError> {
        let vars = vars.iter().filter(|name| source.contains(&format!("${name}"))).map(|n| ((*n).to_owned(), Value::Null)).collect();
        self.send(source, Value::Null, vars, true).map(|_| ())
    }

    fn send(&self, source: &str, input: Value, vars: Vec<(String, Value)>, check_only: bool) -> Result<Value, ExprError> {
        if source.len() > MAX_SOURCE {
            return Err(ExprError::Limit(format!("is longer than {MAX_SOURCE} bytes")));
        }
        if self.0.lost.load(Ordering::Relaxed) > MAX_LOST {
            return Err(ExprError::Limit("cannot be evaluated: too many earlier ones never ended; restart the host".into()));
        }
        let (answer, result) = mpsc::sync_channel(1);
        let taken = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let job = Job { source: source.to_owned(), input, vars, check_only, taken: taken.clone(), answer };
        let sent = self.0.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(job);
        if sent.is_err() {
            return Err(ExprError::Failed("the evaluator has stopped".into()));
        }
        // The clock of the evaluation starts when a worker takes it; a queue is no reason to fail.
        loop {
            match result.recv_timeout(MAX_TIME + GRACE) {
                Ok(r) => return r,
                Err(mpsc::RecvTimeoutError::Timeout) if !taken.load(Ordering::Acquire) => continue,
                Err(_) => {
                    self.0.lost.fetch_add(1, Ordering::Relaxed);
                    spawn_worker(self.0.receiver.clone());
                    return Err(ExprError::Limit(format!("did not end within {} s", (MAX_TIME + GRACE).as_secs())));
                }
            }
        }
    }
}

fn spawn_worker(receiver: Arc<Mutex<mpsc::Receiver<Job>>>) {
    let spawned = std::thread::Builder::new().name("plenum-jq".into()).stack_size(STACK).spawn(move || {
        let base = 0u8;
        BUDGET.with(|b| b.base.set(std::ptr::from_ref(&base) as usize));
        loop {
            let job = receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            job.taken.store(true, Ordering::Release);
            let answer = job.answer.clone();
            // A panic within the jq library must cost the expression, not the thread.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(job)))
                .unwrap_or_else(|_| Err(ExprError::Failed("the evaluator failed on it; simplify the expression".into())));
            let _ = answer.send(result);
        }
    });
    if let Err(e) = spawned {
        tracing::error!(error = %e, "no thread for expressions");
    }
}

struct Budget {
    ticks: Cell<u64>,
    deadline: Cell<Option<Instant>>,
    base: Cell<usize>,
    spent: RefCell<Option<String>>,
}

thread_local! {
    static BUDGET: Budget = const { Budget { ticks: Cell::new(0), deadline: Cell::new(None), base: Cell::new(0), spent: RefCell::new(None) } };
    static PROGRAMS: RefCell<HashMap<String, std::rc::Rc<Program>>> = RefCell::new(HashMap::new());
}

fn run(job: Job) -> Result<Value, ExprError> {
    BUDGET.with(|b| {
        b.ticks.set(MAX_TICKS);
        b.deadline.set(Some(Instant::now() + MAX_TIME));
        *b.spent.borrow_mut() = None;
    });
    let names: Vec<&str> = job.vars.iter().map(|(n, _)| n.as_str()).collect();
    let key = format!("{}\u{0}{}", names.join(","), job.source);
    let cached = PROGRAMS.with(|p| p.borrow().get(&key).cloned());
    let program = match cached {
        Some(p) => p,
        None => {
            let p = std::rc::Rc::new(compile(&job.source, &names)?);
            PROGRAMS.with(|all| {
                let mut all = all.borrow_mut();
                if all.len() >= CACHED_PROGRAMS {
                    all.clear();
                }
                all.insert(key, p.clone());
            });
            p
        }
    };
    if job.check_only {
        return Ok(Value::Null);
    }
    let input = to_val(job.input, 0)?;
    let vars = job.vars.into_iter().map(|(_, v)| to_val(v, 0)).collect::<Result<Vec<_>, _>>()?;
    let ctx = Ctx::<Data>::new(&program.lut, Vars::new(vars));
    let first = program.id.run((ctx, input)).next();
    // A spent budget may have been caught by `try` inside the program: it still counts.
    if let Some(why) = BUDGET.with(|b| b.spent.borrow_mut().take()) {
        return Err(ExprError::Limit(why));
    }
    match first {
        None => Err(ExprError::Failed("the expression yields no value; use `// null` for a default".into())),
        Some(Ok(v)) => {
            let mut nodes = 0;
            from_val(&v, 0, &mut nodes)
        }
        // `unwrap_valr` would end the process on `halt`; here every exception that is no error is refused.
        Some(Err(e)) => match e.get_err() {
            Ok(e) => {
                let v = e.into_val();
                let mut nodes = 0;
                Err(ExprError::Failed(match from_val(&v, 0, &mut nodes)? {
                    Value::String(s) => shorten(&s, 500),
                    v => shorten(&v.to_string(), 500),
                }))
            }
            Err(_) => Err(ExprError::Failed("the expression breaks out of itself".into())),
        },
    }
}

/// Cuts at a character, and says so.
pub(crate) fn shorten(s: &str, max: usize) -> String {
    if s.len() <= max {
        return s.to_owned();
    }
    let cut = (0..=max).rev().find(|i| s.is_char_boundary(*i)).unwrap_or(0);
    format!("{}… ({} bytes)", s.get(..cut).unwrap_or_default(), s.len())
}

fn compile(source: &str, vars: &[&str]) -> Result<Program, ExprError> {
    let at = |part: &str| {
        // An error at the end carries an empty slice that may lie outside.
        let (start, p) = (source.as_ptr() as usize, part.as_ptr() as usize);
        if p >= start && p <= start + source.len() { span(source, part).start.min(source.len()) } else { source.len() }
    };
    let tokens = Lexer::new(source).lex().map_err(|errors| match errors.first() {
        Some((expect, rest)) => ExprError::Syntax { message: format!("expected {}", expect.as_str()), position: at(rest) },
        None => ExprError::Syntax { message: "cannot be read".into(), position: 0 },
    })?;
    let term = Parser::new(&tokens).parse(|p| p.term()).map_err(|errors| match errors.first() {
        Some((expect, found)) => ExprError::Syntax {
            message: match found {
                Some(token) => format!("expected {}, found `{}`", expect.as_str(), shorten(token.0, 40)),
                None => format!("expected {}, found the end", expect.as_str()),
            },
            position: found.map_or(source.len(), |t| at(t.0)),
        },
        None => ExprError::Syntax { message: "cannot be parsed".into(), position: 0 },
    })?;
    let names: Vec<String> = vars.iter().map(|n| format!("${n}")).collect();
    let main = Def { name: "__main", args: names.iter().map(String::as_str).collect(), body: pipe(call("__tick"), guard(term, 0)?) };
    let defs = std_defs().iter().cloned().chain([main]);
    let code = if names.is_empty() { "__main".to_owned() } else { format!("__main({})", names.join(";")) };
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code: code.as_str(), path: () })
        .map_err(|_| ExprError::Syntax { message: "cannot be loaded".into(), position: 0 })?;
    Compiler::default().with_funs(natives()).with_global_vars(names.iter().map(String::as_str)).compile(modules).map_err(|errors| {
        match errors.first().and_then(|(_, e)| e.first()) {
            Some((name, undefined)) => {
                ExprError::Syntax { message: format!("unknown {} `{}`", undefined.as_str(), shorten(name, 60)), position: at(name) }
            }
            None => ExprError::Syntax { message: "cannot be compiled".into(), position: 0 },
        }
    })
}

/// What reaches outside of the expression: the process, its environment and its streams.
const FORBIDDEN: &[&str] =
    &["halt", "halt_error", "env", "$ENV", "input", "inputs", "debug", "debug_empty", "stderr", "stderr_empty", "input_line_number"];
fn std_defs() -> &'static [Def<&'static str>] {
    static DEFS: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    DEFS.get_or_init(|| {
        jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|d| !FORBIDDEN.contains(&d.name))
            .filter_map(|d| Some(Def { name: d.name, args: d.args, body: pipe(call("__tick"), guard(d.body, 0).ok()?) }))
            .collect()
    })
}

fn natives() -> Vec<Fun<Data>> {
    let own: Vec<Fun<Data>> = vec![
        (
            "__tick",
            v(0),
            Native::new(|cv| bome(tick(&cv.1).map(|()| cv.1)))
                .with_paths(|cv| match tick(&cv.1.0) {
                    Ok(()) => Box::new(std::iter::once(Ok(cv.1))),
                    Err(e) => Box::new(std::iter::once(Err(jaq_core::Exn::from(e)))),
                })
                .with_update(|cv, f| match tick(&cv.1) {
                    Ok(()) => f(cv.1),
                    Err(e) => Box::new(std::iter::once(Err(jaq_core::Exn::from(e)))),
                }),
        ),
        ("__size", v(0), Native::new(|cv| bome(size(&cv.1).map(|()| cv.1)))),
        (
            "__mul",
            v(2),
            Native::new(|mut cv| {
                let r = cv.0.pop_var();
                let l = cv.0.pop_var();
                bome(check_mul(&l, &r).and_then(|()| l * r))
            }),
        ),
    ];
    jaq_core::funs::<Data>()
        .chain(jaq_std::funs::<Data>())
        .chain(jaq_json::funs::<Data>())
        .filter(|(name, _, _)| !FORBIDDEN.contains(name))
        .chain(own)
        .collect()
}

fn spent(why: &str) -> jaq_json::Error {
    BUDGET.with(|b| {
        let mut s = b.spent.borrow_mut();
        if s.is_none() {
            *s = Some(why.to_owned());
        }
    });
    jaq_core::Error::str(why)
}

fn tick(value: &Val) -> Result<(), jaq_json::Error> {
    if BUDGET.with(|b| b.spent.borrow().is_some()) {
        return Err(jaq_core::Error::str("limit reached"));
    }
    let left = BUDGET.with(|b| {
        let left = b.ticks.get().saturating_sub(1);
        b.ticks.set(left);
        left
    });
    if left == 0 {
        return Err(spent("takes too many steps"));
    }
    let here = 0u8;
    let base = BUDGET.with(|b| b.base.get());
    if base.abs_diff(std::ptr::from_ref(&here) as usize) > STACK_USE {
        return Err(spent("recurses too deeply"));
    }
    match value {
        Val::TStr(s) | Val::BStr(s) if s.len() > MAX_STRING => return Err(spent("makes too large a string")),
        Val::Arr(a) if a.len() > MAX_ITEMS => return Err(spent("makes too large an array")),
        Val::Obj(o) if o.len() > MAX_ITEMS => return Err(spent("makes too large an object")),
        _ => {}
    }
    // Looking at the clock and into the value costs more than counting, so only now and then. A prime, so that no program's own
    // rhythm hides its large value from it.
    if left.is_multiple_of(251) {
        if BUDGET.with(|b| b.deadline.get()).is_some_and(|d| Instant::now() > d) {
            return Err(spent(&format!("takes longer than {} s", MAX_TIME.as_secs())));
        }
        let mut nodes = 2 * MAX_DEPTH;
        if too_deep(value, 0, &mut nodes) {
            return Err(spent("nests its values too deeply"));
        }
    }
    Ok(())
}

/// Walks at most `nodes` values, deepest first.
fn too_deep(value: &Val, depth: usize, nodes: &mut usize) -> bool {
    if depth > MAX_DEPTH {
        return true;
    }
    if *nodes == 0 {
        return false;
    }
    *nodes -= 1;
    match value {
        Val::Arr(a) => a.iter().rev().any(|v| too_deep(v, depth + 1, nodes)),
        Val::Obj(o) => o.values().rev().any(|v| too_deep(v, depth + 1, nodes)),
        _ => false,
    }
}

fn size(value: &Val) -> Result<(), jaq_json::Error> {
    let (mut nodes, mut bytes) = (0, 0);
    if fits(value, 0, &mut nodes, &mut bytes) { Ok(()) } else { Err(spent("makes too large a value")) }
}

fn fits(value: &Val, depth: usize, nodes: &mut usize, bytes: &mut usize) -> bool {
    *nodes += 1;
    if *nodes > MAX_NODES || depth > MAX_DEPTH || *bytes > MAX_STRING {
        return false;
    }
    match value {
        Val::TStr(s) | Val::BStr(s) => {
            *bytes += s.len();
            true
        }
        Val::Arr(a) => a.iter().all(|v| fits(v, depth + 1, nodes, bytes)),
        Val::Obj(o) => o.iter().all(|(k, v)| fits(k, depth + 1, nodes, bytes) && fits(v, depth + 1, nodes, bytes)),
        _ => true,
    }
}

fn check_mul(l: &Val, r: &Val) -> Result<(), jaq_json::Error> {
    match (l, r) {
        (Val::TStr(s) | Val::BStr(s), Val::Num(n)) | (Val::Num(n), Val::TStr(s) | Val::BStr(s)) => {
            let times = match n {
                Num::Int(i) => usize::try_from(*i).unwrap_or(0),
                Num::BigInt(_) => usize::MAX,
                Num::Float(_) | Num::Dec(_) => 1,
            };
            if s.len().saturating_mul(times) > MAX_STRING { Err(spent("makes too large a string")) } else { Ok(()) }
        }
        (Val::Num(l), Val::Num(r)) => {
            let bits = |n: &Num| if let Num::BigInt(b) = n { b.bits() } else { 64 };
            if bits(l) + bits(r) > MAX_BIGINT_BITS { Err(spent("makes too large a number")) } else { Ok(()) }
        }
        (Val::Obj(_), Val::Obj(_)) => size(l).and_then(|()| size(r)),
        _ => Ok(()),
    }
}

fn to_val(v: Value, depth: usize) -> Result<Val, ExprError> {
    if depth > MAX_DEPTH {
        return Err(ExprError::Limit("has input that is nested too deeply".into()));
    }
    Ok(match v {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(b),
        Value::Number(n) => match n.as_i64().and_then(|i| isize::try_from(i).ok()) {
            Some(i) => Val::Num(Num::Int(i)),
            None if n.is_u64() => Val::Num(Num::from_integral(n.as_u64().unwrap_or_default())),
            None => Val::Num(Num::Float(n.as_f64().unwrap_or_default())),
        },
        Value::String(s) => Val::utf8_str(s.into_bytes()),
        Value::Array(a) => a.into_iter().map(|v| to_val(v, depth + 1)).collect::<Result<Val, _>>()?,
        Value::Object(o) => {
            let map = o
                .into_iter()
                .map(|(k, v)| Ok((Val::utf8_str(k.into_bytes()), to_val(v, depth + 1)?)))
                .collect::<Result<jaq_json::Map, ExprError>>()?;
            Val::obj(map)
        }
    })
}

fn from_val(v: &Val, depth: usize, nodes: &mut usize) -> Result<Value, ExprError> {
    *nodes += 1;
    if *nodes > MAX_NODES || depth > MAX_DEPTH {
        return Err(ExprError::Limit("makes too large a value".into()));
    }
    Ok(match v {
        Val::Null => Value::Null,
        Val::Bool(b) => Value::Bool(*b),
        Val::Num(Num::Int(i)) => Value::from(*i),
        // JSON has no infinities; jq prints them as null too.
        Val::Num(Num::Float(f)) => {
            // 3.0 and 3 are one number to jq; a counter that went through a division should stay an integer.
            if f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0 {
                Value::from(*f as i64)
            } else {
                serde_json::Number::from_f64(*f).map_or(Value::Null, Value::Number)
            }
        }
        Val::Num(n) => serde_json::from_str(&n.to_string()).unwrap_or(Value::Null),
        Val::TStr(s) | Val::BStr(s) => Value::String(String::from_utf8_lossy(s).into_owned()),
        Val::Arr(a) => Value::Array(a.iter().map(|v| from_val(v, depth + 1, nodes)).collect::<Result<_, _>>()?),
        Val::Obj(o) => {
            let mut map = serde_json::Map::with_capacity(o.len());
            for (k, v) in o.iter() {
                let key = match k {
                    Val::TStr(s) | Val::BStr(s) => String::from_utf8_lossy(s).into_owned(),
                    _ => return Err(ExprError::Failed("an object's key must be a string".into())),
                };
                map.insert(key, from_val(v, depth + 1, nodes)?);
            }
            Value::Object(map)
        }
    })
}

/// The expression within `${ }`, if `text` is one.
pub fn inner(text: &str) -> Option<&str> {
    Some(text.trim().strip_prefix("${")?.strip_suffix('}')?.trim())
}

#[cfg(test)]
mod tests;
