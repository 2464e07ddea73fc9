//! `#[derive(Setting)]`: how a type of the configuration is read. It makes tables of names and places, which one function
//! for all types walks, where serde would make the code of every type anew. The attributes are serde's own, since schemars
//! makes the JSON Schema out of them: `default`, `default = "function"`, `rename`, `rename_all = "snake_case"`,
//! `deny_unknown_fields` (always so) and `transparent`. `#[setting(filled)]` is ours: a list or a map that is given has entries.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Data, DataEnum, DeriveInput, Error, Expr, ExprLit, Field, Fields, FieldsNamed, Ident, Lit, LitStr, Result, Variant,
};

/// Implements `Setting`: for a struct with named fields, for an enum without any, for a struct around one value.
#[proc_macro_derive(Setting, attributes(serde, setting))]
pub fn setting(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let made = syn::parse(input).and_then(|input| derive(&input));
    made.unwrap_or_else(|error| error.to_compile_error()).into()
}

fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = Attributes::of(&input.attrs)?;
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => of_fields(&input.ident, fields, &attributes),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(around_one(&input.ident)),
            _ => Err(Error::new_spanned(&input.ident, "expected named fields, or one value")),
        },
        Data::Enum(data) => of_variants(&input.ident, data, &attributes),
        Data::Union(_) => Err(Error::new_spanned(&input.ident, "expected a struct or an enum")),
    }
}

/// What serde's attributes say.
#[derive(Default)]
struct Attributes {
    /// Nothing said is no error; the function that says what is then so.
    default: Option<Option<LitStr>>,
    rename: Option<String>,
    snake_case: bool,
    filled: bool,
}

impl Attributes {
    fn of(attributes: &[syn::Attribute]) -> Result<Self> {
        let mut found = Self::default();
        let ours =
            |attribute: &&syn::Attribute| ["serde", "setting"].iter().any(|name| attribute.path().is_ident(name));
        for attribute in attributes.iter().filter(ours) {
            attribute.parse_nested_meta(|meta| {
                let text = match meta.input.peek(syn::Token![=]) {
                    true => Some(text(&meta.value()?.parse()?)?),
                    false => None,
                };
                match (meta.path.require_ident()?.to_string().as_str(), text) {
                    ("default", function) => found.default = Some(function),
                    ("rename", Some(name)) => found.rename = Some(name.value()),
                    ("rename_all", Some(name)) if name.value() == "snake_case" => found.snake_case = true,
                    ("deny_unknown_fields" | "transparent", None) => {}
                    ("filled", None) => found.filled = true,
                    _ => return Err(meta.error("not known to Setting")),
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}

fn text(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(Error::new_spanned(other, "expected a text")),
    }
}

fn of_fields(name: &Ident, fields: &FieldsNamed, attributes: &Attributes) -> Result<TokenStream> {
    let (mut names, mut required, mut places, mut blanks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut filled = Vec::new();
    for field in &fields.named {
        let Field { ident: Some(place), .. } = field else { continue };
        let said = Attributes::of(&field.attrs)?;
        let key = said.rename.unwrap_or_else(|| place.to_string());
        if attributes.default.is_none() && said.default.is_none() {
            required.push(key.clone());
        }
        if said.filled {
            filled.push(key.clone());
        }
        let blank = match said.default {
            Some(Some(function)) => {
                let function: syn::Path = function.parse()?;
                quote!(#function())
            }
            Some(None) => quote!(::std::default::Default::default()),
            None => quote!(crate::setting::Blank::blank()),
        };
        names.push(key);
        places.push(place);
        blanks.push(quote!(#place: #blank));
    }
    let blank = match attributes.default {
        Some(_) => quote!(::std::default::Default::default()),
        None => quote!(Self { #(#blanks),* }),
    };
    let indices = 0..places.len();
    Ok(quote! {
        impl crate::setting::Blank for #name {
            fn blank() -> Self {
                #blank
            }
        }

        impl crate::setting::Fields for #name {
            fn names(&self) -> &'static crate::setting::Names {
                &crate::setting::Names { all: &[#(#names),*], required: &[#(#required),*], filled: &[#(#filled),*] }
            }

            fn place(&mut self, index: usize) -> Option<&mut dyn crate::setting::Slot> {
                Some(match index {
                    #(#indices => &mut self.#places,)*
                    _ => return None,
                })
            }
        }

        impl crate::setting::Setting for #name {
            fn read(value: &::serde_json::Value) -> Result<Self, crate::tree::Fault> {
                let mut read = <Self as crate::setting::Blank>::blank();
                crate::setting::fill(&mut read, value)?;
                Ok(read)
            }
        }
    })
}

fn around_one(name: &Ident) -> TokenStream {
    quote! {
        impl crate::setting::Setting for #name {
            fn read(value: &::serde_json::Value) -> Result<Self, crate::tree::Fault> {
                crate::setting::Setting::read(value).map(Self)
            }
        }
    }
}

fn of_variants(name: &Ident, data: &DataEnum, attributes: &Attributes) -> Result<TokenStream> {
    let mut names = Vec::new();
    for Variant { ident, fields, attrs, .. } in &data.variants {
        if !matches!(fields, Fields::Unit) {
            return Err(Error::new_spanned(ident, "expected no fields"));
        }
        let own = match attributes.snake_case {
            true => snake_case(&ident.to_string()),
            false => ident.to_string(),
        };
        names.push(Attributes::of(attrs)?.rename.unwrap_or(own));
    }
    let variants: Vec<&Ident> = data.variants.iter().map(|variant| &variant.ident).collect();
    let Some((last, others)) = variants.split_last() else {
        return Err(Error::new_spanned(name, "expected a variant"));
    };
    let indices = 0..others.len();
    Ok(quote! {
        impl crate::setting::Setting for #name {
            fn read(value: &::serde_json::Value) -> Result<Self, crate::tree::Fault> {
                Ok(match crate::setting::variant(value, &[#(#names),*])? {
                    #(#indices => Self::#others,)*
                    _ => Self::#last,
                })
            }
        }
    })
}

/// `BadSignature` as `bad_signature`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
