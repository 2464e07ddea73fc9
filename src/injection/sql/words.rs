//! The words of SQL that matter to the grammar, and what part they play.

/// The part a word plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// No word of SQL: a name.
    Name,
    /// `or`, `and`, `xor`, `not` is apart.
    Logic,
    Not,
    /// `like`, `rlike`, `regexp`, `glob`, ...: compares like `=`.
    Match,
    /// `div`, `mod`.
    Arith,
    Is,
    In,
    Between,
    Null,
    Boolean,
    Union,
    Select,
    From,
    Where,
    Having,
    Order,
    Group,
    By,
    Limit,
    Into,
    Outfile,
    Procedure,
    Analyse,
    All,
    As,
    Case,
    When,
    End,
    Exists,
    /// Words that begin a statement that changes or runs something.
    Drop,
    Alter,
    Create,
    Truncate,
    Insert,
    Update,
    Delete,
    Exec,
    Declare,
    Set,
    Shutdown,
    Waitfor,
    Delay,
    If,
    Begin,
    Merge,
    Grant,
    Copy,
    Call,
    Handler,
    /// What a statement acts on: `table`, `database`, `user`, `view`, ...
    Thing,
    Values,
    /// `distinct`, `top`, `binary`, ...: may stand before an operand.
    Prefix,
    /// `asc`, `desc`, `offset`, ...: may stand after one.
    Suffix,
    /// Functions that make the database wait.
    TimeFn,
    /// Functions that leak through errors, run commands or reach the network.
    DangerFn,
    /// Functions of the database that name its version, user and the like.
    InfoFn,
    /// Other functions of SQL.
    Fn,
    /// System tables, schemas and procedures.
    System,
}

impl Word {
    /// The part that `text` plays, in any case.
    pub(super) fn of(text: &[u8], hash: u32) -> Self {
        let mut slot = slot_of(hash);
        loop {
            let index = INDEX.get(slot).copied().unwrap_or(0);
            let Some(&(word, part)) = WORDS.get(usize::from(index).wrapping_sub(1)) else { return Self::Name };
            if text.eq_ignore_ascii_case(word.as_bytes()) {
                return part;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
    }

    /// Whether nothing begins with it: it only goes on with what another token began.
    pub(super) const fn is_quiet(self) -> bool {
        matches!(
            self,
            Self::Name
                | Self::Not
                | Self::Match
                | Self::Arith
                | Self::Is
                | Self::In
                | Self::Between
                | Self::Null
                | Self::Boolean
                | Self::From
                | Self::By
                | Self::Outfile
                | Self::Analyse
                | Self::All
                | Self::As
                | Self::When
                | Self::End
                | Self::Exists
                | Self::Delay
                | Self::Thing
                | Self::Values
                | Self::Prefix
                | Self::Suffix
                | Self::InfoFn
                | Self::Fn
        )
    }

    pub(super) fn is_fn(self) -> bool {
        matches!(self, Self::TimeFn | Self::DangerFn | Self::InfoFn | Self::Fn)
    }
}

/// The hash of no bytes at all.
pub(super) const HASH_START: u32 = 0x811C_9DC5;

/// `hash` with one more byte, without regard to case.
pub(super) const fn hash_byte(hash: u32, byte: u8) -> u32 {
    hash.rotate_left(5) ^ (byte | 0x20) as u32
}

/// The high bits of the product spread what the rotation keeps apart.
const fn slot_of(hash: u32) -> usize {
    (hash.wrapping_mul(0x9E37_79B1) >> 22) as usize & (SLOTS - 1)
}

/// The length of the longest word; the shortest has two letters.
pub(super) const MAX_LEN: usize = 30;
const SLOTS: usize = 1024;

/// Open addressing: one more than the place in `WORDS`, or 0.
static INDEX: [u16; SLOTS] = index();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < WORDS.len() {
        let word = WORDS[i].0.as_bytes();
        let mut hash = HASH_START;
        let mut j = 0;
        while j < word.len() {
            hash = hash_byte(hash, word[j]);
            j += 1;
        }
        let mut slot = slot_of(hash);
        while table[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = i as u16 + 1;
        i += 1;
    }
    table
}

use Word::{
    All, Alter, Analyse, Arith, As, Begin, Between, Boolean, By, Call, Case, Copy as CopyInto, Create, DangerFn,
    Declare, Delay, Delete, Drop as DropThing, End, Exec, Exists, Fn as Function, From, Grant, Group, Handler, Having,
    If, In, InfoFn, Insert, Into as IntoWord, Is, Limit, Logic, Match, Merge, Not, Null, Order, Outfile, Prefix,
    Procedure, Select, Set, Shutdown, Suffix, System, Thing, TimeFn, Truncate, Union, Update, Values, Waitfor, When,
    Where,
};

static WORDS: &[(&str, Word)] = &[
    ("or", Logic),
    ("and", Logic),
    ("xor", Logic),
    ("not", Not),
    ("like", Match),
    ("ilike", Match),
    ("rlike", Match),
    ("regexp", Match),
    ("glob", Match),
    ("similar", Match),
    ("sounds", Match),
    ("div", Arith),
    ("mod", Arith),
    ("collate", Suffix),
    ("is", Is),
    ("isnull", Is),
    ("notnull", Is),
    ("in", In),
    ("between", Between),
    ("null", Null),
    ("true", Boolean),
    ("false", Boolean),
    ("unknown", Boolean),
    ("default", Suffix),
    ("union", Union),
    ("intersect", Union),
    ("except", Union),
    ("minus", Union),
    ("select", Select),
    ("from", From),
    ("where", Where),
    ("having", Having),
    ("order", Order),
    ("group", Group),
    ("by", By),
    ("limit", Limit),
    ("fetch", Limit),
    ("into", IntoWord),
    ("outfile", Outfile),
    ("dumpfile", Outfile),
    ("procedure", Procedure),
    ("analyse", Analyse),
    ("all", All),
    ("distinct", All),
    ("distinctrow", All),
    ("as", As),
    ("case", Case),
    ("when", When),
    ("end", End),
    ("exists", Exists),
    ("drop", DropThing),
    ("alter", Alter),
    ("create", Create),
    ("truncate", Truncate),
    ("insert", Insert),
    ("replace", Insert),
    ("update", Update),
    ("delete", Delete),
    ("exec", Exec),
    ("execute", Exec),
    ("declare", Declare),
    ("set", Set),
    ("shutdown", Shutdown),
    ("waitfor", Waitfor),
    ("delay", Delay),
    ("time", Delay),
    ("if", If),
    ("begin", Begin),
    ("merge", Merge),
    ("grant", Grant),
    ("revoke", Grant),
    ("copy", CopyInto),
    ("call", Call),
    ("handler", Handler),
    ("load", CopyInto),
    ("attach", CopyInto),
    ("vacuum", CopyInto),
    ("bulk", Insert),
    ("rename", Alter),
    ("backup", CopyInto),
    ("restore", CopyInto),
    ("prepare", Declare),
    ("reconfigure", Shutdown),
    ("desc", Suffix),
    ("describe", Handler),
    ("table", Thing),
    ("tables", Thing),
    ("database", Thing),
    ("schema", Thing),
    ("user", Thing),
    ("view", Thing),
    ("index", Thing),
    ("function", Thing),
    ("trigger", Thing),
    ("login", Thing),
    ("role", Thing),
    ("column", Thing),
    ("sequence", Thing),
    ("extension", Thing),
    ("aggregate", Thing),
    ("databases", Thing),
    ("values", Values),
    ("top", Prefix),
    ("binary", Prefix),
    ("any", Prefix),
    ("some", Prefix),
    ("interval", Prefix),
    ("asc", Suffix),
    ("offset", Suffix),
    ("rows", Suffix),
    ("escape", Suffix),
    ("separator", Suffix),
    ("using", Suffix),
    ("then", Suffix),
    ("else", Suffix),
    ("join", Suffix),
    ("inner", Suffix),
    ("outer", Suffix),
    ("on", Suffix),
    // Waiting.
    ("sleep", TimeFn),
    ("pg_sleep", TimeFn),
    ("pg_sleep_for", TimeFn),
    ("benchmark", TimeFn),
    ("randomblob", TimeFn),
    ("generate_series", TimeFn),
    ("receive_message", TimeFn),
    ("dbms_pipe", TimeFn),
    ("dbms_lock", TimeFn),
    ("dbms_session", TimeFn),
    ("get_lock", TimeFn),
    ("regexp_substring", TimeFn),
    ("crypt_key", TimeFn),
    ("master_pos_wait", TimeFn),
    ("rlike_sleep", TimeFn),
    // Leaks through errors, files, network, commands.
    ("extractvalue", DangerFn),
    ("updatexml", DangerFn),
    ("xmltype", DangerFn),
    ("json_keys", DangerFn),
    ("geometrycollection", DangerFn),
    ("multipoint", DangerFn),
    ("polygon", DangerFn),
    ("multipolygon", DangerFn),
    ("linestring", DangerFn),
    ("multilinestring", DangerFn),
    ("name_const", DangerFn),
    ("gtid_subset", DangerFn),
    ("gtid_subtract", DangerFn),
    ("st_latfromgeohash", DangerFn),
    ("st_longfromgeohash", DangerFn),
    ("st_pointfromgeohash", DangerFn),
    ("ctxsys", DangerFn),
    ("drithsx", DangerFn),
    ("utl_inaddr", DangerFn),
    ("utl_http", DangerFn),
    ("utl_file", DangerFn),
    ("utl_smtp", DangerFn),
    ("httpuritype", DangerFn),
    ("dbms_utility", DangerFn),
    ("dbms_xmlgen", DangerFn),
    ("dbms_ldap", DangerFn),
    ("dbms_java", DangerFn),
    ("dbms_export_extension", DangerFn),
    ("ordsys", DangerFn),
    ("load_file", DangerFn),
    ("load_extension", DangerFn),
    ("lo_import", DangerFn),
    ("lo_export", DangerFn),
    ("pg_read_file", DangerFn),
    ("pg_ls_dir", DangerFn),
    ("query_to_xml", DangerFn),
    ("database_to_xml", DangerFn),
    ("dblink", DangerFn),
    ("dblink_connect", DangerFn),
    ("xp_cmdshell", DangerFn),
    ("xp_dirtree", DangerFn),
    ("xp_regread", DangerFn),
    ("xp_regwrite", DangerFn),
    ("xp_fileexist", DangerFn),
    ("xp_subdirs", DangerFn),
    ("xp_availablemedia", DangerFn),
    ("xp_enumdsn", DangerFn),
    ("xp_loginconfig", DangerFn),
    ("xp_servicecontrol", DangerFn),
    ("sp_oacreate", DangerFn),
    ("sp_oamethod", DangerFn),
    ("sp_executesql", DangerFn),
    ("sp_configure", DangerFn),
    ("sp_password", DangerFn),
    ("sp_msforeachtable", DangerFn),
    ("sp_makewebtask", DangerFn),
    ("sp_addextendedproc", DangerFn),
    ("sp_addsrvrolemember", DangerFn),
    ("sp_addlogin", DangerFn),
    ("openrowset", DangerFn),
    ("opendatasource", DangerFn),
    ("openquery", DangerFn),
    ("fn_xe_file_target_read_file", DangerFn),
    ("sys_eval", DangerFn),
    ("sys_exec", DangerFn),
    ("xmlagg", DangerFn),
    ("sqlite_compileoption_used", DangerFn),
    ("row_count", InfoFn),
    ("procedure_analyse", DangerFn),
    // Who and where.
    ("version", InfoFn),
    ("current_user", InfoFn),
    ("session_user", InfoFn),
    ("system_user", InfoFn),
    ("current_database", InfoFn),
    ("current_schema", InfoFn),
    ("user_name", InfoFn),
    ("db_name", InfoFn),
    ("sqlite_version", InfoFn),
    ("schema_name", InfoFn),
    ("suser_name", InfoFn),
    ("is_srvrolemember", InfoFn),
    ("connection_id", InfoFn),
    ("last_insert_id", InfoFn),
    ("host_name", InfoFn),
    ("has_dbaccess", InfoFn),
    ("current_setting", InfoFn),
    ("user_id", InfoFn),
    ("found_rows", InfoFn),
    // The rest.
    ("concat", Function),
    ("concat_ws", Function),
    ("group_concat", Function),
    ("char", Function),
    ("chr", Function),
    ("nchar", Function),
    ("ascii", Function),
    ("ord", Function),
    ("unicode", Function),
    ("hex", Function),
    ("unhex", Function),
    ("substring", Function),
    ("substr", Function),
    ("mid", Function),
    ("left", Function),
    ("right", Function),
    ("length", Function),
    ("len", Function),
    ("char_length", Function),
    ("count", Function),
    ("sum", Function),
    ("min", Function),
    ("max", Function),
    ("avg", Function),
    ("cast", Function),
    ("convert", Function),
    ("to_char", Function),
    ("to_number", Function),
    ("to_date", Function),
    ("coalesce", Function),
    ("ifnull", Function),
    ("nullif", Function),
    ("nvl", Function),
    ("decode", Function),
    ("elt", Function),
    ("make_set", Function),
    ("field", Function),
    ("rand", Function),
    ("random", Function),
    ("floor", Function),
    ("ceil", Function),
    ("round", Function),
    ("exp", Function),
    ("pow", Function),
    ("abs", Function),
    ("sin", Function),
    ("cos", Function),
    ("tan", Function),
    ("pi", Function),
    ("sqrt", Function),
    ("md5", Function),
    ("sha1", Function),
    ("sha2", Function),
    ("crc32", Function),
    ("aes_encrypt", Function),
    ("aes_decrypt", Function),
    ("compress", Function),
    ("uncompress", Function),
    ("upper", Function),
    ("lower", Function),
    ("ucase", Function),
    ("lcase", Function),
    ("trim", Function),
    ("ltrim", Function),
    ("rtrim", Function),
    ("lpad", Function),
    ("rpad", Function),
    ("reverse", Function),
    ("repeat", Function),
    ("instr", Function),
    ("locate", Function),
    ("position", Function),
    ("strcmp", Function),
    ("now", Function),
    ("getdate", Function),
    ("sysdate", Function),
    ("iif", If),
    ("row", Function),
    ("string_agg", Function),
    ("array_agg", Function),
    ("listagg", Function),
    ("wm_concat", Function),
    ("extract", Function),
    ("quote", Function),
    ("bin", Function),
    ("conv", Function),
    ("json_extract", Function),
    ("json_arrayagg", Function),
    ("zeroblob", Function),
    ("typeof", Function),
    ("isnumeric", Function),
    ("quotename", Function),
    ("stuff", Function),
    ("patindex", Function),
    ("charindex", Function),
    ("greatest", Function),
    ("least", Function),
    ("interval_fn", Function),
    ("array_to_string", Function),
    // System objects.
    ("information_schema", System),
    ("mysql", System),
    ("pg_catalog", System),
    ("sqlite_master", System),
    ("sqlite_schema", System),
    ("sqlite_temp_master", System),
    ("sysobjects", System),
    ("syscolumns", System),
    ("sysusers", System),
    ("sysdatabases", System),
    ("sysprocesses", System),
    ("master", System),
    ("msdb", System),
    ("tempdb", System),
    ("sys", System),
    ("performance_schema", System),
    ("pg_user", System),
    ("pg_shadow", System),
    ("pg_database", System),
    ("pg_tables", System),
    ("pg_class", System),
    ("pg_roles", System),
    ("pg_authid", System),
    ("all_tables", System),
    ("all_users", System),
    ("all_tab_columns", System),
    ("user_tables", System),
    ("user_tab_columns", System),
    ("dba_users", System),
    ("user_objects", System),
    ("all_objects", System),
    ("dual", System),
    ("sysibm", System),
    ("systables", System),
    ("rdb", System),
    ("domain", System),
    ("msysaccessobjects", System),
    ("msysobjects", System),
    ("user_password", System),
    ("sysmaster", System),
    ("v$version", System),
    ("v$instance", System),
    ("v$session", System),
    ("db_user", System),
    ("rdb$database", System),
    ("rdb$fields", System),
    ("rdb$types", System),
    ("rdb$collations", System),
    ("rdb$functions", System),
    ("rdb$relations", System),
    ("mon$attachments", System),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case_and_stands_once() {
        assert!(WORDS.len() < SLOTS / 2);
        for (i, &(word, part)) in WORDS.iter().enumerate() {
            assert!(WORDS[..i].iter().all(|&(other, _)| other != word), "{word}");
            assert!(word.len() <= MAX_LEN);
            let upper = word.to_uppercase();
            let hash = upper.bytes().fold(HASH_START, hash_byte);
            assert_eq!(Word::of(upper.as_bytes(), hash), part, "{word}");
        }
        assert_eq!(Word::of(b"selects", b"selects".iter().copied().fold(HASH_START, hash_byte)), Word::Name);
    }
}
